/** The network that A, B, the bridge and the others are made of: the same small one in every cell. */
import { gelu } from "./gelu.js";

/** A convolution over the cells of a field, with zeros beyond its border. */
export class CellConvolution {
  /** `weight`: {shape: [outputs, inputs, reach, reach], data}; `bias`: {data} or undefined. */
  constructor(weight, bias) {
    [this.outputs, this.inputs, this.reach] = weight.shape;
    this.bias = bias?.data;
    const places = this.reach ** 2;
    this.weight = new Float32Array(weight.data.length); // [place][output][input], so that inputs lie side by side
    for (let output = 0; output < this.outputs; output++)
      for (let input = 0; input < this.inputs; input++)
        for (let place = 0; place < places; place++)
          this.weight[(place * this.outputs + output) * this.inputs + input] =
            weight.data[(output * this.inputs + input) * places + place];
  }

  /** Field → field of as many cells. `only`: the cells to compute, all others stay 0; undefined for all. */
  forward(field, only) {
    const made = field.like(this.outputs);
    if (only) for (const cell of only) this.#cell(field, made, cell);
    else for (let cell = 0; cell < field.cells; cell++) this.#cell(field, made, cell);
    return made;
  }

  /** Adds to what `forward` made what it would be more if one channel of a cell were more by 1. */
  add(made, cell, input) {
    const { outputs, inputs, reach, weight } = this;
    const around = reach >> 1;
    const [row, col] = [Math.floor(cell / made.cols) + around, (cell % made.cols) + around];
    for (let y = Math.max(0, row - made.rows + 1); y < reach && y <= row; y++)
      for (let x = Math.max(0, col - made.cols + 1); x < reach && x <= col; x++) {
        const target = ((row - y) * made.cols + col - x) * outputs;
        const source = (y * reach + x) * outputs * inputs + input;
        for (let output = 0; output < outputs; output++) made.data[target + output] += weight[source + output * inputs];
      }
  }

  #cell(field, made, cell) {
    const { rows, cols } = field;
    const { outputs, inputs, reach, weight } = this;
    const around = reach >> 1;
    const row = Math.floor(cell / cols);
    const col = cell - row * cols;
    const target = made.data.subarray(cell * outputs, (cell + 1) * outputs);
    if (this.bias) target.set(this.bias);
    for (let y = Math.max(0, around - row); y < reach && row + y - around < rows; y++) {
      for (let x = Math.max(0, around - col); x < reach && col + x - around < cols; x++) {
        const source = ((row + y - around) * cols + col + x - around) * inputs;
        accumulate(target, weight, (y * reach + x) * outputs * inputs, field.data, source, inputs);
      }
    }
  }
}

/** target += matrix · source, with four sums at a time, which is what a processor can do side by side. */
function accumulate(target, matrix, first, numbers, source, inputs) {
  const whole = inputs & ~3;
  for (let output = 0; output < target.length; output++) {
    const row = first + output * inputs;
    let a = 0, b = 0, c = 0, d = 0; // prettier-ignore
    for (let i = 0; i < whole; i += 4) {
      a += matrix[row + i] * numbers[source + i];
      b += matrix[row + i + 1] * numbers[source + i + 1];
      c += matrix[row + i + 2] * numbers[source + i + 2];
      d += matrix[row + i + 3] * numbers[source + i + 3];
    }
    for (let i = whole; i < inputs; i++) a += matrix[row + i] * numbers[source + i];
    target[output] += a + b + (c + d);
  }
}

/** A layer without places: `weight` (outputs, inputs) and perhaps a bias, on a list of numbers. */
export class Linear {
  constructor(weight, bias) {
    [this.outputs, this.inputs] = weight.shape;
    this.weight = weight.data;
    this.bias = bias?.data;
  }

  /** Numbers from `offset` on → numbers. */
  forward(numbers, offset = 0) {
    const made = this.bias ? Float32Array.from(this.bias) : new Float32Array(this.outputs);
    accumulate(made, this.weight, 0, numbers, offset, this.inputs);
    return made;
  }
}

/** The same network in every cell, on the cell and its neighbourhood; a GELU follows each layer but the last. */
export class LocalNetwork {
  /** `tensors`: of the dream; `name`: what theirs begin with. */
  constructor(tensors, name) {
    this.layers = [];
    for (let i = 0; tensors[`${name}.layers.${i}.weight`]; i++)
      this.layers.push(new CellConvolution(tensors[`${name}.layers.${i}.weight`], tensors[`${name}.layers.${i}.bias`]));
    this.far = [];
    for (let i = 0; tensors[`${name}.far.${i}.weight`]; i++) this.far.push(new Linear(tensors[`${name}.far.${i}.weight`]));
  }

  /** Field → field of as many cells. */
  forward(field) {
    return this.onwards(this.layers[0].forward(field));
  }

  /** What the first layer's sums lead to. `only`: the cells that are asked for, others are of no use; undefined for all. */
  onwards(sums, only) {
    const last = this.layers.length - 1;
    for (let number = 1; number <= last; number++) {
      const field = sums.map(gelu);
      const looked = number === last || (number === last - 1 && this.layers[last].reach === 1) ? only : undefined;
      sums = this.layers[number].forward(field, looked);
      const far = this.far.length && number < last ? this.far[number - 1].forward(field.largest()) : undefined;
      if (far) for (let i = 0; i < sums.data.length; i++) sums.data[i] += far[i % sums.channels];
    }
    return sums;
  }
}
