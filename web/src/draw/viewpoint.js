/** Which part of the picture is shown: zoom and pan. */

/** How many times a picture can be enlarged; beyond, single precision would show. */
export const LARGEST = 2000;

export class Viewpoint {
  constructor() {
    this.reset();
  }

  reset() {
    Object.assign(this, { zoom: 1, y: 0.5, x: 0.5 });
  }

  /** Enlarges by a factor around a point of the window, both coordinates in [0, 1]; that point stays where it is. */
  enlarge(factor, x = 0.5, y = 0.5) {
    const zoom = Math.min(Math.max(this.zoom * factor, 1), LARGEST);
    this.x += (x - 0.5) * (1 / this.zoom - 1 / zoom);
    this.y += (y - 0.5) * (1 / this.zoom - 1 / zoom);
    this.zoom = zoom;
    this.move(0, 0);
  }

  /** Moves the picture by shares of the window, as far as there is any. */
  move(x, y) {
    const half = 0.5 / this.zoom;
    const within = (at) => Math.min(Math.max(at, half), 1 - half);
    [this.x, this.y] = [within(this.x - x / this.zoom), within(this.y - y / this.zoom)];
  }

  /** What `Painter.draw` shows, in cells. */
  of(rows, cols) {
    const half = 0.5 / this.zoom;
    const range = (at, cells) => [(at - half) * cells, (at + half) * cells];
    return { y: range(this.y, rows), x: range(this.x, cols) };
  }

  /** The cell at a point of the window, both coordinates in [0, 1]. */
  cell(x, y, rows, cols) {
    const at = (centre, part, cells) => Math.min(Math.max(Math.floor((centre + (part - 0.5) / this.zoom) * cells), 0), cells - 1);
    return { row: at(this.y, y, rows), col: at(this.x, x, cols) };
  }
}
