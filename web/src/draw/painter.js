/** Draws states as one window on their picture shows them; only what changed since is drawn anew. */
import { Axis } from "../model/axes.js";
import { changedCells } from "../model/heads.js";

/** What WebGL and its fallback share: which rectangles of pixels there are, and which of them have changed. */
export class Painter {
  /** `model`: whose states; `canvas`: drawn on, at the size that it has. */
  constructor(model, canvas) {
    Object.assign(this, { model, canvas });
  }

  /** Draws a state (K channels). `view`: {y: [from, to], x: [from, to]}, the part that is shown, in cells. */
  draw(state, view) {
    const { width, height } = this.canvas;
    const by = JSON.stringify([width, height, view, state.rows, state.cols]);
    const whole = by !== this.by;
    if (whole) this.#look(state, view);
    const changed = whole ? null : changedCells(this.drawn, state);
    [this.by, this.drawn] = [by, state];
    if (changed && !changed.length) return;
    const cells = new Set(changed ?? Array.from({ length: state.cells }, (_, cell) => cell));
    this.prepare(state, cells, whole);
    for (const rows of this.y.bands)
      for (const cols of this.x.bands) {
        const drawers = drawersOf(rows, cols, state.cols);
        if (whole || drawers.some(({ cell }) => cells.has(cell))) this.rectangle(rows, cols, drawers);
      }
    this.finish();
  }

  /** Forgets what was drawn, so that the next drawing is whole. */
  forget() {
    this.by = undefined;
  }

  #look(state, view) {
    const { width, height } = this.canvas;
    const strips = this.model.config.blend ? this.model.config.cell : [0, 0];
    this.y = new Axis(state.rows, strips[0], height, ...view.y);
    this.x = new Axis(state.cols, strips[1], width, ...view.x);
    Object.assign(this, this.model.renderers.of(1 / this.y.step, 1 / this.x.step)); // renderer and mask
  }
}

/** The cells that draw a rectangle together: one, or where they are blended two or four. */
function drawersOf(rows, cols, perRow) {
  const found = [];
  for (const down of rows.blended ? [0, 1] : [0])
    for (const right of cols.blended ? [0, 1] : [0]) {
      const [row, col] = [rows.lower + down, cols.lower + right];
      found.push({ down, right, row, col, cell: row * perRow + col });
    }
  return found;
}
