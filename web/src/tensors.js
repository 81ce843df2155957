/** The dream that a page holds: its card, and its tensors as the exporter packed them. */
import { Field } from "./model/field.js";

/** {card, tensors} of a page: what `nova_gym/web/page.py` put into its two scripts. */
export function readDream(card, numbers) {
  const bytes = Uint8Array.from(atob(numbers.trim()), (letter) => letter.charCodeAt(0));
  const tensors = {};
  for (const [name, { dtype, shape, offset }] of Object.entries(card.tensors)) {
    const count = shape.reduce((a, b) => a * b, 1);
    tensors[name] = { shape, data: READERS[dtype](bytes.buffer, offset, count) };
  }
  return { card, tensors };
}

const READERS = {
  float32: (buffer, offset, count) => new Float32Array(buffer, offset, count),
  float16: (buffer, offset, count) => Float32Array.from(new Uint16Array(buffer, offset, count), half),
  uint8: (buffer, offset, count) => new Uint8Array(buffer, offset, count),
  int16: (buffer, offset, count) => new Int16Array(buffer, offset, count),
};

/** The number that 16 bits stand for in half precision. */
export function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/**
 * The starts of a level by their kind: {count, at(i), past(i)}. Starts of few different cells are kept as these, and
 * where they are. `past` is what came before, oldest first: [{state, latentAction}], the state and what it led on by.
 */
export function startsOf(tensors, level) {
  const [rows, cols] = level.cells;
  return level.starts.map(({ kind, name }) => {
    const { data: cells, shape } = tensors[`${name}.cells`];
    const index = tensors[`${name}.index`]?.data;
    const channels = shape[1];
    const count = rows * cols;
    const at = (i) => {
      const field = new Field(rows, cols, channels);
      for (let cell = 0; cell < count; cell++) {
        const which = index ? index[i * count + cell] : i * count + cell;
        field.data.set(cells.subarray(which * channels, (which + 1) * channels), cell * channels);
      }
      return field;
    };
    const { [`${name}.before`]: before, [`${name}.moves`]: moves } = tensors;
    const past = (i) =>
      Array.from({ length: before?.shape[1] ?? 0 }, (_, t) => {
        const [state, latentAction] = [before, moves].map(({ data, shape }) => {
          const size = count * shape[4];
          const first = (i * shape[1] + t) * size;
          return new Field(rows, cols, shape[4], data.slice(first, first + size));
        });
        return { state, latentAction };
      });
    return { kind, count: (index ? index.length : shape[0]) / count, at, past };
  });
}
