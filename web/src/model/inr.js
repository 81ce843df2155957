/** The renderer: a state is a field of tiny coordinate networks, and each draws its own cell (`nova_gym/model/inr.py`). */
import { gelu } from "./gelu.js";

/** [inputs, outputs] of each layer, first to last. */
export function layerSizes(config) {
  const sizes = [2 + 4 * config.frequencies, ...Array(config.layers).fill(config.width), config.channels];
  return sizes.slice(1).map((outputs, i) => [sizes[i], outputs]);
}

/** 1 for the octaves that cells of this many pixels can sample along one axis, 0 for the others. */
export function sampled(frequencies, pixels) {
  return Array.from({ length: frequencies }, (_, k) => (2 ** k < pixels / 2 ? 1 : 0));
}

/** How states become pictures: `base + z · basis` are the weights of a cell's network. */
export class Renderer {
  constructor(config, base, basis) {
    Object.assign(this, { config, base, basis, sizes: layerSizes(config) });
  }

  /** The weights of one cell: a layer's matrix, outputs × inputs by rows, then its bias, first layer first. */
  weights(state, cell) {
    const count = this.base.length;
    const made = Float32Array.from(this.base);
    for (let k = 0; k * count < this.basis.length; k++) {
      const share = state.data[cell * state.channels + k];
      if (share !== 0) for (let i = 0; i < count; i++) made[i] += share * this.basis[k * count + i];
    }
    return made;
  }

  /**
   * The pixels of a cell on a grid: (ys · xs · channels) numbers, not clipped.
   * `mask`: {x, y}, which octaves are on. Along a line the first layer's sums share their parts of x and of y.
   */
  draw(weights, xs, ys, mask) {
    const [[inputs, width]] = this.sizes;
    const line = (values, axis) => values.map((value) => this.#firstLayer(weights, value, axis, mask[axis ? "y" : "x"]));
    const bias = inputs * width;
    const columns = line(xs, 0);
    const rows = line(ys, 1);
    const made = new Float32Array(xs.length * ys.length * this.config.channels);
    const hidden = new Float32Array(width);
    let at = 0;
    for (const row of rows)
      for (const column of columns) {
        for (let i = 0; i < width; i++) hidden[i] = row[i] + column[i] + weights[bias + i];
        const colours = this.#onwards(weights, hidden);
        for (let i = 0; i < colours.length; i++) made[at++] = colours[i] + 0.5;
      }
    return made;
  }

  /** The part of the first layer's sums that one coordinate makes. */
  #firstLayer(weights, value, axis, mask) {
    const [inputs, outputs] = this.sizes[0];
    const sums = new Float32Array(outputs);
    for (let output = 0; output < outputs; output++) {
      const row = output * inputs;
      let sum = weights[row + axis] * value;
      mask.forEach((on, k) => {
        const at = row + 2 + 4 * k + axis;
        if (on) sum += weights[at] * Math.sin(Math.PI * 2 ** k * value) + weights[at + 2] * Math.cos(Math.PI * 2 ** k * value);
      });
      sums[output] = sum;
    }
    return sums;
  }

  #onwards(weights, sums) {
    let start = (this.sizes[0][0] + 1) * this.sizes[0][1];
    for (const [inputs, outputs] of this.sizes.slice(1)) {
      const next = new Float32Array(outputs);
      for (let i = 0; i < inputs; i++) sums[i] = gelu(sums[i]);
      for (let output = 0; output < outputs; output++) {
        let sum = weights[start + inputs * outputs + output];
        for (let i = 0; i < inputs; i++) sum += weights[start + output * inputs + i] * sums[i];
        next[output] = sum;
      }
      start += (inputs + 1) * outputs;
      sums = next;
    }
    return sums;
  }
}

/** The renderer that draws cells of some size in pixels: the dream's own, or where it has detail, that for larger ones. */
export class RendererChoice {
  constructor(config, tensors) {
    this.cell = config.cell;
    this.plain = new Renderer(config.inr, tensors.base.data, tensors.basis.data);
    this.detail = config.detail
      ? new Renderer(config.detail, tensors["detail.base"].data, tensors["detail.basis"].data)
      : null;
  }

  /** {renderer, mask} for cells of height × width pixels; mask says which octaves are on. */
  of(height, width) {
    const [h, w] = this.cell;
    if (!this.detail || (height <= h && width <= w)) {
      const all = Array(this.plain.config.frequencies).fill(1);
      return { renderer: this.plain, mask: { x: all, y: all } };
    }
    const { frequencies } = this.detail.config;
    const mask = { x: sampled(frequencies, Math.max(width, w)), y: sampled(frequencies, Math.max(height, h)) };
    return { renderer: this.detail, mask };
  }
}
