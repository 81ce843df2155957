/** Draws on a 2D canvas, with the networks evaluated in JavaScript: for browsers without WebGL2. */
import { Painter } from "./painter.js";

export class CanvasPainter extends Painter {
  constructor(model, canvas) {
    super(model, canvas);
    this.context = canvas.getContext("2d", { alpha: false });
  }

  prepare(state) {
    this.state = state;
    this.weights = new Map();
  }

  /** Draws a rectangle of pixels that some cells draw together. */
  rectangle(rows, cols, drawers) {
    const [height, width] = [rows.beyond - rows.first, cols.beyond - cols.first];
    const { channels } = this.renderer.config;
    const sums = new Float32Array(height * width * channels);
    for (const { row, col, cell, down, right } of drawers) {
      const ys = line(height, (i) => this.y.coordinate(rows.first + i, row));
      const xs = line(width, (i) => this.x.coordinate(cols.first + i, col));
      const part = (axis, band, second) => (i) => {
        const share = axis.share(band.first + i, band);
        return second ? share : 1 - share;
      };
      const [shareY, shareX] = [line(height, part(this.y, rows, down)), line(width, part(this.x, cols, right))];
      const drawn = this.renderer.draw(this.#weights(cell), xs, ys, this.mask);
      for (let i = 0; i < sums.length; i++) {
        const pixel = Math.floor(i / channels);
        sums[i] += drawn[i] * shareY[Math.floor(pixel / width)] * shareX[pixel % width];
      }
    }
    const image = this.context.createImageData(width, height);
    for (let pixel = 0; pixel < height * width; pixel++) {
      for (let c = 0; c < 3; c++) image.data[4 * pixel + c] = 255 * sums[pixel * channels + (channels === 1 ? 0 : c)]; // clamps and rounds
      image.data[4 * pixel + 3] = 255;
    }
    this.context.putImageData(image, cols.first, rows.first);
  }

  finish() {}

  #weights(cell) {
    if (!this.weights.has(cell)) this.weights.set(cell, this.renderer.weights(this.state, cell));
    return this.weights.get(cell);
  }
}

const line = (length, of) => Array.from({ length }, (_, i) => of(i));
