/** Chance: what neither the frame nor the past decides. */
import { joined } from "./field.js";
import { likeliest, picked, softmax } from "./heads.js";
import { LocalNetwork } from "./local.js";

/** Cells that are so far apart, along one axis, are drawn at the same time; those between know of each other. */
const APART = 3;

/** A distribution over a few outcomes in each cell, one of which is drawn in a step. */
export class Chance {
  constructor(config, tensors) {
    this.outcomes = config.outcomes;
    this.prior = new LocalNetwork(tensors, "chance.prior");
  }

  /** Outcomes, one-hot in each cell. `uniform`: a number in [0, 1) for each cell, or undefined for what is likeliest. */
  draw(state, action, uniform) {
    const drawn = state.like(this.outcomes);
    const wide = Math.min(APART, state.cols);
    const turns = Math.min(APART, state.rows) * wide;
    for (let now = 0; now < turns; now++) {
      const expected = this.prior.forward(joined([state, drawn, action])).data;
      for (let cell = 0; cell < state.cells; cell++) {
        const row = Math.floor(cell / state.cols);
        if ((row % APART) * wide + ((cell - row * state.cols) % APART) !== now) continue;
        const logits = expected.subarray(cell * this.outcomes, (cell + 1) * this.outcomes);
        const chosen = uniform ? picked(softmax(logits), uniform[cell]) : likeliest(logits);
        drawn.data[cell * this.outcomes + chosen] = 1;
      }
    }
    return drawn;
  }
}
