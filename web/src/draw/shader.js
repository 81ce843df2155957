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

export const VERTEX = `#version 300 es
uniform vec4 corners;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  gl_Position = vec4(mix(corners.xy, corners.zw, corner), 0.0, 1.0);
}`;

/** The shader of rectangles that 1, 2 or 4 networks draw together. */
export function fragment(config, networks) {
  const numbers = Array.from({ length: networks }, (_, i) => i);
  const root = COEFFICIENTS.map((each) => each.toFixed(10)).reduce((sum, each) => `(${sum} * a + ${each})`);
  const shares = { 1: ["1.0"], 2: ["1.0 - s", "s"], 4: ["(1.0 - t) * (1.0 - s)", "(1.0 - t) * s", "t * (1.0 - s)", "t * s"] };
  const colour = numbers.map((i) => `(${shares[networks][i]}) * draw${i}(at * places[${i}].xy + places[${i}].zw)`);
  return `#version 300 es
precision highp float;
${numbers.map((i) => `layout(std140) uniform Network${i} { vec4 w${i}[${columnsOf(config)}]; };`).join("\n")}
uniform vec4 places[${networks}]; // from pixels to a network's own coordinates: factors and offsets
uniform vec3 across, down;        // from pixels to what the second network of a strip contributes
out vec4 colour;

vec4 gelu(vec4 x) {
  vec4 a = min(abs(x), ${CLAMP.toFixed(1)});
  vec4 r = ${root};
  r *= r;
  r *= r;
  return max(x, 0.0) - a * (r * r);
}

${numbers.map((i) => network(config, i)).join("\n")}
void main() {
  vec2 at = gl_FragCoord.xy;
  float s = dot(vec3(at, 1.0), across), t = dot(vec3(at, 1.0), down);
  vec4 sum = ${colour.join("\n    + ")};
  colour = vec4(${config.channels === 1 ? "sum.rrr" : "sum.rgb"} + 0.5, 1.0);
}`;
}

/** A function that evaluates network number `i`, all sums written out. */
function network(config, i) {
  const lines = [];
  let names = ["p.x", "p.y"];
  for (let k = 0; k < config.frequencies; k++) {
    if (k) lines.push(`vec2 s${k} = 2.0 * s${k - 1} * c${k - 1}, c${k} = 1.0 - 2.0 * s${k - 1} * s${k - 1};`);
    else lines.push("vec2 s0 = sin(3.14159265359 * p), c0 = cos(3.14159265359 * p);");
    names.push(`s${k}.x`, `s${k}.y`, `c${k}.x`, `c${k}.y`);
  }
  let column = 0;
  const sizes = layerSizes(config);
  sizes.forEach(([, outputs], layer) => {
    const made = [];
    for (let block = 0; block < Math.ceil(outputs / 4); block++) {
      const name = `h${layer}_${block}`;
      const sum = [`w${i}[${column++}]`, ...names.map((each) => `w${i}[${column++}] * ${each}`)].join(" + ");
      lines.push(`vec4 ${name} = ${layer < sizes.length - 1 ? `gelu(${sum})` : sum};`);
      made.push(...[..."xyzw"].map((part) => `${name}.${part}`));
    }
    names = made.slice(0, outputs);
  });
  return `vec4 draw${i}(vec2 p) {\n  ${lines.join("\n  ")}\n  return h${sizes.length - 1}_0;\n}\n`;
}
