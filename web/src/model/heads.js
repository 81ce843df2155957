/** Reward and termination, read off what a transition changed. */
import { joined } from "./field.js";
import { gelu, sigmoid } from "./gelu.js";
import { CellConvolution, Linear } from "./local.js";

/** The logarithm of odds that count as none at all. */
export const NO_ODDS = -12;

export class Heads {
  constructor(config, tensors) {
    const named = (name) => [tensors[`heads.${name}.weight`], tensors[`heads.${name}.bias`]];
    this.everywhere = config.everywhere;
    this.bins = config.reward_bins;
    this.values = config.reward_values.length ? config.reward_values : [0];
    this.trunk = [new CellConvolution(...named("trunk.0")), new CellConvolution(...named("trunk.2"))];
    this.reward = new Linear(...named("reward"));
    this.termination = new Linear(...named("termination"));
  }

  /**
   * What a step pays, the probability that it ends the episode, and how undecided both are.
   * `more`: memory before the step and action, read if `everywhere`; `uniform`: in [0, 1), draws the reward, if given.
   */
  outcome(state, latentAction, following, more, uniform) {
    const changed = changedCells(state, following);
    const inputs = joined([state, latentAction, following, ...(this.everywhere ? more : [])]);
    const looked = this.everywhere ? Array.from({ length: inputs.cells }, (_, cell) => cell) : changed;
    let hidden = inputs;
    for (const layer of this.trunk) {
      hidden = layer.forward(hidden, looked);
      for (const cell of looked)
        for (let i = cell * hidden.channels; i < (cell + 1) * hidden.channels; i++) hidden.data[i] = gelu(hidden.data[i]);
    }
    const pooled = [pool(hidden, changed), ...(this.everywhere ? [pool(hidden, looked)] : [])];
    const seen = Float32Array.from(pooled.flatMap((part) => [...part]));
    const paid = this.reward.forward(seen);
    const [end] = this.termination.forward(seen);
    return [this.#paid(paid, uniform), sigmoid(end), this.#undecided(paid, end)];
  }

  /** Logarithm of the odds that reward or ending is another than the likeliest; where rewards are bins, the ending. */
  #undecided(paid, end) {
    const most = Math.max(...paid);
    const all = this.bins ? 0 : Math.log(paid.reduce((sum, each) => sum + Math.exp(each - most), 0));
    const right = Math.min(-all - Math.log1p(Math.exp(-Math.abs(end))), -Math.exp(NO_ODDS));
    return Math.log(-Math.expm1(right)) - right || 0;
  }

  #paid(logits, uniform) {
    if (uniform === undefined && !this.bins) return this.values[likeliest(logits)];
    const odds = softmax(logits);
    if (uniform !== undefined) return this.values[picked(odds, uniform)];
    return odds.reduce((sum, share, i) => sum + share * this.values[i], 0);
  }
}

/** The cells in which any number is not the same to the bit. */
export function changedCells(before, after) {
  const found = [];
  for (let cell = 0; cell < before.cells; cell++) {
    const start = cell * before.channels;
    for (let i = start; i < start + before.channels; i++)
      if (before.data[i] !== after.data[i]) {
        found.push(cell);
        break;
      }
  }
  return found;
}

/** The largest number of each channel in some cells; zeros if there are none. */
function pool(field, cells) {
  const most = new Float32Array(field.channels).fill(cells.length ? -Infinity : 0);
  for (const cell of cells)
    for (let i = 0; i < field.channels; i++) most[i] = Math.max(most[i], field.data[cell * field.channels + i]);
  return most;
}

export function likeliest(numbers) {
  let best = 0;
  for (let i = 1; i < numbers.length; i++) if (numbers[i] > numbers[best]) best = i;
  return best;
}

export function softmax(logits) {
  const most = Math.max(...logits);
  const powers = Array.from(logits, (each) => Math.exp(each - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((each) => each / sum);
}

/** The index that a number in [0, 1) decides on, by these odds. */
export function picked(odds, uniform) {
  let below = 0;
  for (let i = 0; i < odds.length; i++) {
    below += odds[i];
    if (below > uniform) return i;
  }
  return odds.length - 1;
}
