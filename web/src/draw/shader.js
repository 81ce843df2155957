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

/**
 * Pixels that one fragment evaluates, a block: reading weights takes about as long as using them, so they share them; and
 * what the first layer makes of one coordinate is shared by a row or column of the block. A row is one output.
 */
export const [DOWN, ACROSS] = [2, 4];
const [ROWS, COLS] = [DOWN, ACROSS].map((count) => Array.from({ length: count }, (_, i) => i));
const BLOCK = ROWS.flatMap((row) => COLS.map((col) => ({ row, col })));

export const VERTEX = `#version 300 es
uniform vec4 corners;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  gl_Position = vec4(mix(corners.xy, corners.zw, corner), 0.0, 1.0);
}`;

/** The shader of rectangles that 1, 2 or 4 networks draw together; a fragment is a block of pixels, 32 bits each. */
export function fragment(config, networks) {
  const numbers = Array.from({ length: networks }, (_, i) => i);
  const root = COEFFICIENTS.map((each) => each.toFixed(10)).reduce((sum, each) => `(${sum} * a + ${each})`);
  const shares = { 1: ["1.0"], 2: ["1.0 - s", "s"], 4: ["(1.0 - t) * (1.0 - s)", "(1.0 - t) * s", "t * (1.0 - s)", "t * s"] };
  const sums = BLOCK.map(({ row, col }) => {
    const at = `${row}_${col}`;
    const parts = numbers.map((i) => `(${shares[networks][i]}) * n${i}[${row}][${col}]`);
    return `  { float s = dot(vec3(at + vec2(${col}, ${row}), 1.0), across), t = dot(vec3(at + vec2(${col}, ${row}), 1.0), down);
  vec4 c = ${parts.join(" + ")};
  pixels${row}[${col}] = bytes(${config.channels === 1 ? "c.rrr" : "c.rgb"} + 0.5); }`;
  });
  return `#version 300 es
precision highp float;
precision highp int;
${numbers.map((i) => `layout(std140) uniform Network${i} { vec4 w${i}[${columnsOf(config)}]; };`).join("\n")}
uniform vec4 places[${networks}]; // from pixels to a network's own coordinates: factors and offsets
uniform vec3 across, down;        // from pixels to what the second network of a strip contributes
uniform vec4 start;               // of the rectangle: its first pixel, and its first fragment
${ROWS.map((row) => `layout(location = ${row}) out uvec4 pixels${row};`).join("\n")}

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
  vec2 at = start.xy + vec2(${ACROSS}, ${DOWN}) * (gl_FragCoord.xy - 0.5 - start.zw) + 0.5; // rows are counted from above
${numbers.map((i) => `  mat4 n${i}[${DOWN}];
  draw${i}(at * places[${i}].xy + places[${i}].zw, places[${i}].xy, n${i});`).join("\n")}
${sums.join("\n")}
}`;
}

/** Unpacks what `fragment` made onto the canvas. */
export const UNPACK = `#version 300 es
precision highp float;
precision highp int;
uniform highp usampler2DArray drawn;
uniform vec4 start;
uniform float height;
out vec4 colour;
void main() {
  ivec2 pixel = ivec2(vec2(gl_FragCoord.x, height - gl_FragCoord.y) - start.xy), size = ivec2(${ACROSS}, ${DOWN});
  uvec4 four = texelFetch(drawn, ivec3(ivec2(start.zw) + pixel / size, pixel.y % ${DOWN}), 0);
  uint one = four[pixel.x % ${ACROSS}];
  colour = vec4(vec3(one & 255u, one >> 8 & 255u, one >> 16 & 255u) / 255.0, 1.0);
}`;

/**
 * A function that evaluates network number `i` at a block of pixels; a column of a matrix is a pixel. All sums are written
 * out as single expressions, which is what software renderers are quick at.
 */
function network(config, i) {
  const lines = [
    ...ROWS.flatMap((row) => waves(config, `y${row}`, `(p.y + ${row}.0 * d.y)`)),
    ...COLS.flatMap((col) => waves(config, `x${col}`, `(p.x + ${col}.0 * d.x)`)),
  ];
  const sizes = layerSizes(config);
  let inputs;
  let column = 0;
  sizes.forEach(([count, outputs], layer) => {
    const made = BLOCK.map(() => []);
    for (let block = 0; block < Math.ceil(outputs / 4); block++) {
      const name = `h${layer}_${block}`;
      const bias = `w${i}[${column++}]`;
      const weights = Array.from({ length: count }, (_, at) => `w${i}[${column + at}]`);
      const product = (parts) => parts.map((part, at) => (part ? `${weights[at]} * ${part}` : "")).filter(Boolean).join(" + ");
      if (!layer) {
        ROWS.forEach((row) => lines.push(`vec4 ${name}y${row} = ${bias} + ${product(features(config, "y", row))};`));
        COLS.forEach((col) => lines.push(`vec4 ${name}x${col} = ${product(features(config, "x", col))};`));
      }
      BLOCK.forEach(({ row, col }, j) => {
        const sum = layer ? `${bias} + ${product(inputs[j])}` : `${name}y${row} + ${name}x${col}`;
        lines.push(`vec4 ${name}_${j} = ${layer < sizes.length - 1 ? `gelu(${sum})` : sum};`);
        made[j].push(...[..."xyzw"].map((part) => `${name}_${j}.${part}`));
      });
      column += count;
    }
    inputs = made.map((each) => each.slice(0, outputs));
  });
  const last = BLOCK.map((_, j) => `h${sizes.length - 1}_0_${j}`);
  const rows = ROWS.map((row) => `made[${row}] = mat4(${last.slice(row * ACROSS, (row + 1) * ACROSS).join(", ")});`);
  return `void draw${i}(vec2 p, vec2 d, out mat4 made[${DOWN}]) {\n  ${[...lines, ...rows].join("\n  ")}\n}\n`;
}

/** Sine and cosine of all octaves of a coordinate, each from the octave before. */
function waves(config, name, value) {
  const lines = [`float ${name} = ${value};`];
  for (let k = 0; k < config.frequencies; k++) {
    const [s, c] = [`s${k}${name}`, `c${k}${name}`];
    const [sin, cos] = [`s${k - 1}${name}`, `c${k - 1}${name}`];
    if (k) lines.push(`float ${s} = 2.0 * ${sin} * ${cos}, ${c} = 1.0 - 2.0 * ${sin} * ${sin};`);
    else lines.push(`float ${s} = sin(3.14159265359 * ${name}), ${c} = cos(3.14159265359 * ${name});`);
  }
  return lines;
}

/** The names of a network's inputs of one coordinate, in their order; empty for those of the other one. */
function features(config, axis, number) {
  const pair = (name) => (axis === "x" ? [name, ""] : ["", name]);
  const octaves = Array.from({ length: config.frequencies }, (_, k) => ["s", "c"].flatMap((wave) => pair(`${wave}${k}${axis}${number}`)));
  return [...pair(`${axis}${number}`), ...octaves.flat()];
}
