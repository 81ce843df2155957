/** Numbers of a field of cells, a cell's numbers side by side: `data[(row * cols + col) * channels + channel]`. */
export class Field {
  constructor(rows, cols, channels, data = new Float32Array(rows * cols * channels)) {
    Object.assign(this, { rows, cols, channels, data });
  }

  get cells() {
    return this.rows * this.cols;
  }

  /** A field of as many cells, of zeros. */
  like(channels) {
    return new Field(this.rows, this.cols, channels);
  }

  /** Channels `first` to `end` of every cell, as a copy. */
  part(first, end) {
    const made = this.like(end - first);
    for (let cell = 0; cell < this.cells; cell++) {
      const start = cell * this.channels;
      made.data.set(this.data.subarray(start + first, start + end), cell * made.channels);
    }
    return made;
  }

  /** Every number as `change` makes it. */
  map(change) {
    return new Field(this.rows, this.cols, this.channels, this.data.map(change));
  }

  /** The largest number of each channel in all cells. */
  largest() {
    const most = new Float32Array(this.channels).fill(-Infinity);
    for (let i = 0; i < this.data.length; i++) {
      const channel = i % this.channels;
      if (this.data[i] > most[channel]) most[channel] = this.data[i];
    }
    return most;
  }
}

/** Fields of the same cells, side by side in their channels. What is no field but a list of numbers is the same in every cell. */
export function joined(parts) {
  const first = parts.find((part) => part instanceof Field);
  const made = first.like(parts.reduce((sum, part) => sum + (part.channels ?? part.length), 0));
  let offset = 0;
  for (const part of parts) {
    const count = part.channels ?? part.length;
    for (let cell = 0; cell < made.cells; cell++) {
      const source = part instanceof Field ? part.data.subarray(cell * count, (cell + 1) * count) : part;
      made.data.set(source, cell * made.channels + offset);
    }
    offset += count;
  }
  return made;
}
