/** Which cells draw which pixels, along one axis of a picture (`nova_gym/model/axes.py`), at any zoom. */

/**
 * The bands of an axis, from its beginning to its end. All positions are in cells: 1.5 is the middle of the second one.
 * In a band, cell `lower` draws alone, or where neighbours are `blended`, together with the cell after it.
 * `strip`: training pixels of a cell where neighbours are blended, within half of one around their border; 0 where not.
 */
export function bandsOf(cells, strip) {
  const bands = [];
  const half = strip ? 0.5 / strip : 0;
  for (let lower = 0; lower < cells; lower++) {
    const last = lower === cells - 1;
    const start = lower + (lower ? half : 0);
    const end = lower + 1 - (last ? 0 : half);
    if (end > start) bands.push({ lower, blended: false, start, end });
    if (strip && !last) bands.push({ lower, blended: true, start: lower + 1 - half, end: lower + 1 + half });
  }
  return bands;
}

/**
 * An axis of a picture as a window shows it.
 * `pixels`: of the window; `from`, `to`: the positions, in cells, of its two edges, which may lie beyond the picture.
 */
export class Axis {
  constructor(cells, strip, pixels, from, to) {
    Object.assign(this, { cells, strip, pixels, from });
    this.step = (to - from) / pixels;
    this.bands = bandsOf(cells, strip)
      .map((band) => ({ ...band, first: this.#pixel(band.start), beyond: this.#pixel(band.end) }))
      .filter((band) => band.beyond > band.first);
  }

  /** The first pixel, within the window, whose centre lies at a position or beyond it. */
  #pixel(position) {
    return Math.min(Math.max(Math.ceil((position - this.from) / this.step - 0.5), 0), this.pixels);
  }

  /** The coordinate in [-1, 1] of `cell` at the centre of a pixel. */
  coordinate(pixel, cell) {
    return 2 * (this.from + (pixel + 0.5) * this.step - cell) - 1;
  }

  /** What the second cell of a blended band contributes at a pixel; at others 0. */
  share(pixel, band) {
    if (!band.blended) return 0;
    return (this.from + (pixel + 0.5) * this.step - band.lower - 1) * this.strip + 0.5;
  }
}
