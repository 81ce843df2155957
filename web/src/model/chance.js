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
    [this.least] = tensors["chance.least"].data;
  }

  /** Outcomes, one-hot in each cell. `uniform`: a number in [0, 1) for each cell, or undefined for what is likeliest. */
  draw(state, action, uniform) {
    const drawn = state.like(this.outcomes);
    const [first] = this.prior.layers;
    const sums = first.forward(joined([state, drawn, action])); // of the first layer; what is drawn is added to them
    for (const turn of turns(state)) {
      const expected = this.prior.onwards(sums, turn).data;
      for (const cell of turn) {
        const logits = expected.subarray(cell * this.outcomes, (cell + 1) * this.outcomes);
        const chosen = uniform ? picked(this.#likely(logits), uniform[cell]) : likeliest(logits);
        drawn.data[cell * this.outcomes + chosen] = 1;
        first.add(sums, cell, state.channels + chosen);
      }
    }
    return drawn;
  }

  /** The odds of outcomes, without those below a share of the likeliest. */
  #likely(logits) {
    const odds = softmax(logits);
    const least = this.least * Math.max(...odds);
    const kept = odds.map((each) => (each < least ? 0 : each));
    const sum = kept.reduce((a, b) => a + b, 0);
    return kept.map((each) => each / sum);
  }
}

/** The cells of a field by the turn in which they are drawn; smaller fields need fewer turns. */
function turns({ rows, cols, cells }) {
  const wide = Math.min(APART, cols);
  const found = Array.from({ length: Math.min(APART, rows) * wide }, () => []);
  for (let cell = 0; cell < cells; cell++) found[(Math.floor(cell / cols) % APART) * wide + ((cell % cols) % APART)].push(cell);
  return found;
}
