/** The fragment shader: every pixel evaluates its cell's network. Its text follows from the sizes of the network. */
import { layerSizes } from "../model/inr.js";
import { CLAMP, COEFFICIENTS } from "../model/gelu.js";

/** Four numbers at a time: for each four outputs of a layer its bias, then a column for each input. */
export function columnsOf(config) {
  return layerSizes(config).reduce((sum, [inputs, outputs]) => sum + Math.ceil(outputs / 4) * (inputs + 1), 0);
}

/** The weights of a cell in the order in which the shader reads them. `mask`: octaves that are off get weights of 0. */
export function packed(weights, config, mask, target) {
  let [at, start] = [0, 0];
  layerSizes(config).forEach(([inputs, outputs], layer) => {
    const bias = start + inputs * outputs;
    for (let block = 0; block < outputs; block += 4) {
      for (let input = -1; input < inputs; input++)
        for (let i = block; i < block + 4; i++, at++) {
          const on = layer || input < 2 || mask[input % 2 ? "y" : "x"][(input - 2) >> 2];
          target[at] = i >= outputs || !on ? 0 : input < 0 ? weights[bias + i] : weights[start + i * inputs + input];
        }
    }
    start = bias + outputs;
  });
}

/** Pixels side by side that one fragment evaluates: reading weights takes longer than using them, so they share them. */
export const PIXELS = 4;

export const VERTEX = `#version 300 es
uniform vec4 corners;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  gl_Position = vec4(mix(corners.xy, corners.zw, corner), 0.0, 1.0);
}`;

/** The shader of rectangles that 1, 2 or 4 networks draw together; a fragment is `PIXELS` pixels, 32 bits each. */
export function fragment(config, networks) {
  const numbers = Array.from({ length: networks }, (_, i) => i);
  const root = COEFFICIENTS.map((each) => each.toFixed(10)).reduce((sum, each) => `(${sum} * a + ${each})`);
  const shares = { 1: ["1.0"], 2: ["1.0 - s", "s"], 4: ["(1.0 - t) * (1.0 - s)", "(1.0 - t) * s", "t * (1.0 - s)", "t * s"] };
  const sums = PIXELS_OF.map((j) => {
    const parts = numbers.map((i) => `(${shares[networks][i].replaceAll("s", `s${j}`)}) * n${i}[${j}]`);
    return `  float s${j} = s + ${j}.0 * across.x;
  vec4 c${j} = ${parts.join(" + ")};
  pixels[${j}] = bytes(${config.channels === 1 ? `c${j}.rrr` : `c${j}.rgb`} + 0.5);`;
  });
  return `#version 300 es
precision highp float;
precision highp int;
${numbers.map((i) => `layout(std140) uniform Network${i} { vec4 w${i}[${columnsOf(config)}]; };`).join("\n")}
uniform vec4 places[${networks}]; // from pixels to a network's own coordinates: factors and offsets
uniform vec3 across, down;        // from pixels to what the second network of a strip contributes
uniform vec2 start;               // of the rectangle: its first pixel, and its first fragment
out uvec4 pixels;

vec4 gelu(vec4 x) {
  vec4 a = min(abs(x), ${CLAMP.toFixed(1)});
  vec4 r = ${root};
  r *= r;
  r *= r;
  return max(x, 0.0) - a * (r * r);
}

uint bytes(vec3 c) {
  uvec3 b = uvec3(clamp(c, 0.0, 1.0) * 255.0 + 0.5);
  return b.r | b.g << 8 | b.b << 16;
}

${numbers.map((i) => network(config, i)).join("\n")}
void main() {
  vec2 at = vec2(start.x + ${PIXELS}.0 * (gl_FragCoord.x - 0.5 - start.y) + 0.5, gl_FragCoord.y);
  float s = dot(vec3(at, 1.0), across), t = dot(vec3(at, 1.0), down);
${numbers.map((i) => `  mat4 n${i} = draw${i}(at * places[${i}].xy + places[${i}].zw, places[${i}].x);`).join("\n")}
${sums.join("\n")}
}`;
}

/** Unpacks what `fragment` made onto the canvas. */
export const UNPACK = `#version 300 es
precision highp float;
precision highp int;
uniform highp usampler2D drawn;
uniform vec2 start;
out vec4 colour;
void main() {
  int pixel = int(gl_FragCoord.x) - int(start.x);
  uvec4 four = texelFetch(drawn, ivec2(int(start.y) + pixel / ${PIXELS}, int(gl_FragCoord.y)), 0);
  uint one = four[pixel % ${PIXELS}];
  colour = vec4(vec3(one & 255u, one >> 8 & 255u, one >> 16 & 255u) / 255.0, 1.0);
}`;

const PIXELS_OF = Array.from({ length: PIXELS }, (_, j) => j);

/**
 * A function that evaluates network number `i` at pixels side by side; a column of its result is a pixel. All sums are
 * written out as single expressions, which is what software renderers are quick at.
 */
function network(config, i) {
  const lines = [...waves(config, "y", ["p.y"]), ...PIXELS_OF.flatMap((j) => waves(config, `x${j}`, [`(p.x + ${j}.0 * d)`]))];
  const sizes = layerSizes(config);
  let inputs = PIXELS_OF.map((j) => features(config, `x${j}`));
  let column = 0;
  sizes.forEach(([, outputs], layer) => {
    const made = PIXELS_OF.map(() => []);
    for (let block = 0; block < Math.ceil(outputs / 4); block++) {
      const name = `h${layer}_${block}`;
      const own = inputs[0].map((_, at) => inputs.some((each) => each[at] !== inputs[0][at]));
      const bias = `w${i}[${column++}]`;
      const weights = inputs[0].map((_, at) => `w${i}[${column + at}]`);
      const shared = weights.map((weight, at) => (own[at] ? "" : ` + ${weight} * ${inputs[0][at]}`)).join("");
      lines.push(`vec4 ${name} = ${bias}${shared};`);
      weights.forEach((weight, at) => own[at] && lines.push(`vec4 ${name}w${at} = ${weight};`));
      PIXELS_OF.forEach((j) => {
        const sum = name + weights.map((_, at) => (own[at] ? ` + ${name}w${at} * ${inputs[j][at]}` : "")).join("");
        lines.push(`vec4 ${name}_${j} = ${layer < sizes.length - 1 ? `gelu(${sum})` : sum};`);
        made[j].push(...[..."xyzw"].map((part) => `${name}_${j}.${part}`));
      });
      column += weights.length;
    }
    inputs = made.map((each) => each.slice(0, outputs));
  });
  const last = PIXELS_OF.map((j) => `h${sizes.length - 1}_0_${j}`).join(", ");
  return `mat4 draw${i}(vec2 p, float d) {\n  ${lines.join("\n  ")}\n  return mat4(${last});\n}\n`;
}

/** Sine and cosine of all octaves of a coordinate, each from the octave before. */
function waves(config, name, [value]) {
  const lines = [`float ${name} = ${value};`];
  for (let k = 0; k < config.frequencies; k++) {
    const [s, c] = [`s${k}${name}`, `c${k}${name}`];
    const [sin, cos] = [`s${k - 1}${name}`, `c${k - 1}${name}`];
    if (k) lines.push(`float ${s} = 2.0 * ${sin} * ${cos}, ${c} = 1.0 - 2.0 * ${sin} * ${sin};`);
    else lines.push(`float ${s} = sin(3.14159265359 * ${name}), ${c} = cos(3.14159265359 * ${name});`);
  }
  return lines;
}

/** The names of a network's inputs, in their order; `x`: what the first coordinate is called. */
function features(config, x) {
  const octaves = Array.from({ length: config.frequencies }, (_, k) => [`s${k}${x}`, `s${k}y`, `c${k}${x}`, `c${k}y`]);
  return [x, "y", ...octaves.flat()];
}
