/** Makes `nova_gym/web/page.html` from the sources, without a network: `npm run build`, or with --check only compares. */
import { readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const here = (path) => new URL(path, import.meta.url);
const target = here("../nova_gym/web/page.html");
const built = (entry, more) =>
  build({ entryPoints: [here(entry).pathname], bundle: true, minify: true, write: false, target: "es2022", charset: "utf8", ...more });
const [script, style] = await Promise.all([built("src/page/main.js", { format: "iife" }), built("src/page/page.css", {})]);
let page = readFileSync(here("src/page/page.html"), "utf8");
for (const [mark, made] of [["/*STYLE*/", style], ["/*SCRIPT*/", script]]) {
  const [before, after] = page.split(mark);
  page = before + made.outputFiles[0].text.trim().replaceAll("</script", "<\\/script") + after;
}
if (process.argv.includes("--check")) {
  if (page !== readFileSync(target, "utf8")) {
    console.error("nova_gym/web/page.html is not what the sources make: npm run build");
    process.exit(1);
  }
} else writeFileSync(target, page);
console.log(`nova_gym/web/page.html: ${(page.length / 1024).toFixed(0)} KB`);
