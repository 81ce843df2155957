/** The picture on the page: its canvases, zoom and pan, and marks over it. */
import { CanvasPainter } from "../draw/canvas.js";
import { Viewpoint } from "../draw/viewpoint.js";
import { WebGLPainter } from "../draw/webgl.js";

/** Most pixels a side: more cost time and are not seen; and without WebGL2, where JavaScript evaluates each. */
const MOST = 2048;
const MOST_BY_CANVAS = 384;

export class Stage {
  /** `changed()`: called when there is something to draw; `tapped({row, col})`: when a cell was. */
  constructor(model, { frame, picture, marks }, { changed, tapped }) {
    Object.assign(this, { model, frame, marks, changed, tapped });
    this.viewpoint = new Viewpoint();
    this.cells = [1, 1];
    this.hindrance = "";
    this.painter = this.#painter(picture);
    new ResizeObserver(() => this.#fit()).observe(frame);
    this.#listen();
  }

  /** What is drawn on: with WebGL2 if there is any, else `hindrance` says why not. */
  #painter(canvas) {
    try {
      return new WebGLPainter(this.model, canvas);
    } catch (error) {
      this.hindrance = error.message;
      if (error.cause) console.warn(error.cause);
      const plain = canvas.cloneNode();
      canvas.replaceWith(plain);
      return new CanvasPainter(this.model, plain);
    }
  }

  /** Shows states of (rows, cols) cells from now on. */
  open(rows, cols) {
    const [height, width] = this.model.config.cell;
    this.cells = [rows, cols];
    this.ratio = (cols * width) / (rows * height);
    this.frame.style.aspectRatio = this.ratio;
    this.viewpoint.reset();
    this.#fit();
  }

  #fit() {
    const { width, height } = this.frame.getBoundingClientRect();
    const most = this.painter instanceof CanvasPainter ? MOST_BY_CANVAS : MOST;
    const scale = Math.min(devicePixelRatio || 1, most / Math.max(width, height, 1));
    const { canvas } = this.painter;
    for (const [each, factor] of [[canvas, scale], [this.marks, devicePixelRatio || 1]]) { // prettier-ignore
      const size = [width, height].map((side) => Math.max(1, Math.round(side * factor)));
      if (each.width !== size[0] || each.height !== size[1]) [each.width, each.height] = size;
    }
    this.painter.forget(); // a canvas of a new size is empty
    this.changed();
  }

  /** Draws a state, cells in red, and a frame around the cell that was chosen, {row, col}. */
  draw(state, doubtful, chosen) {
    const [rows, cols] = this.cells;
    const view = this.viewpoint.of(rows, cols);
    this.painter.draw(this.model.seen(state), view);
    const context = this.marks.getContext("2d");
    const { width, height } = this.marks;
    context.clearRect(0, 0, width, height);
    const box = (row, col) => {
      const along = (at, [from, to], pixels) => ((at - from) / (to - from)) * pixels;
      const [left, top] = [along(col, view.x, width), along(row, view.y, height)];
      return [left, top, along(col + 1, view.x, width) - left, along(row + 1, view.y, height) - top];
    };
    const unit = devicePixelRatio || 1;
    context.lineWidth = 2 * unit;
    for (const cell of doubtful) {
      const [x, y, w, h] = box(Math.floor(cell / cols), cell % cols);
      context.fillStyle = "#ff2d3150";
      context.strokeStyle = "#ff2d31";
      context.fillRect(x, y, w, h);
      context.strokeRect(x + unit, y + unit, w - 2 * unit, h - 2 * unit);
    }
    if (chosen) {
      context.strokeStyle = "#8c9eff";
      context.strokeRect(...box(chosen.row, chosen.col));
    }
    this.frame.classList.toggle("zoomed", this.viewpoint.zoom > 1);
  }

  /** How many screen pixels a pixel of the frames that the dream learned from is wide. */
  get magnification() {
    return 1 / (this.painter.x.step * this.model.config.cell[1]);
  }

  #listen() {
    const { frame, viewpoint } = this;
    const fingers = new Map();
    const at = (event) => {
      const box = frame.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    let travelled = 0;
    frame.addEventListener("pointerdown", (event) => {
      if (event.target.closest("button")) return;
      frame.setPointerCapture(event.pointerId);
      if (!fingers.size) travelled = 0;
      fingers.set(event.pointerId, at(event));
    });
    frame.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before) return;
      const now = at(event);
      travelled += Math.hypot(now[0] - before[0], now[1] - before[1]);
      const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      if (other) {
        const apart = (place) => Math.hypot(place[0] - other[0], place[1] - other[1]);
        viewpoint.enlarge(apart(now) / Math.max(apart(before), 1e-3), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      }
      viewpoint.move((now[0] - before[0]) / fingers.size, (now[1] - before[1]) / fingers.size);
      fingers.set(event.pointerId, now);
      this.changed();
    });
    const lifted = (event) => {
      const place = fingers.get(event.pointerId);
      fingers.delete(event.pointerId);
      if (place && event.type === "pointerup" && !fingers.size && travelled < 0.015)
        this.tapped(viewpoint.cell(...place, ...this.cells));
    };
    frame.addEventListener("pointerup", lifted);
    frame.addEventListener("pointercancel", lifted);
    frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      viewpoint.enlarge(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0022)), ...at(event));
      this.changed();
    }, { passive: false }); // prettier-ignore
  }
}
