/** The generative control model (GCM): what happens next, from what happened so far. */
import { joined } from "./field.js";
import { gelu, sigmoid } from "./gelu.js";
import { CellConvolution } from "./local.js";

/** How much less a state counts in the average of the last ones with each step. */
const FADING = 0.9;

/** A stack of convolutional gated recurrent units over fields of (z, u), and an answer to a query. */
export class Control {
  constructor(config, tensors) {
    const layer = (name) => new CellConvolution(tensors[`control.${name}.weight`], tensors[`control.${name}.bias`]);
    const numbers = Array.from({ length: config.control.layers }, (_, i) => i);
    this.hidden = config.control.hidden;
    this.gates = numbers.map((i) => layer(`gates.${i}`));
    this.news = numbers.map((i) => layer(`news.${i}`));
    this.first = layer("first");
    this.last = layer("last");
    this.spread = tensors["control.spread"].data;
    this.linear = config.control.linear
      ? new CellConvolution(tensors["control.linear"], tensors["control.constant"])
      : null;
    this.averaged = Boolean(config.control.linear && config.control.average);
  }

  /** An empty memory for states like this one: {hidden, latentAction, past}. */
  reset(state) {
    const hidden = this.gates.map(() => state.like(this.hidden));
    const past = this.averaged ? state.like(state.channels + 1) : null;
    return { hidden, latentAction: state.like(this.spread.length), past };
  }

  /** The memory after the state that the last latent action led to. */
  listen(memory, state) {
    let inputs = this.#pair(state, memory.latentAction);
    const hidden = memory.hidden.map((before, number) => {
      const gates = this.gates[number].forward(joined([inputs, before]));
      const keep = gates.part(0, this.hidden);
      const kept = gates.part(this.hidden, 2 * this.hidden).map((each, i) => sigmoid(each) * before.data[i]);
      const news = this.news[number].forward(joined([inputs, kept]));
      inputs = before.map((each, i) => {
        const share = sigmoid(keep.data[i]);
        return share * each + (1 - share) * Math.tanh(news.data[i]);
      });
      return inputs;
    });
    return { ...memory, hidden, past: memory.past && this.#average(memory.past, state) };
  }

  /** The latent actions that follow in a state which was listened to. */
  answer(heard, state) {
    const made = this.last.forward(this.first.forward(joined([...heard.hidden, state])).map(gelu));
    const linear = this.linear?.forward(this.#told(heard, state));
    return made.map((each, i) => (each + (linear?.data[i] ?? 0)) * this.spread[i % this.spread.length]);
  }

  /** The faded sum of all states, and how many they count as, after another state. */
  #average(past, state) {
    const one = new Float32Array(1).fill(1);
    return joined([state, one]).map((each, i) => FADING * past.data[i] + each);
  }

  /** What the linear part sees: the pair, and how far the average of the last states is from this one. */
  #told({ latentAction, past }, state) {
    const pair = this.#pair(state, latentAction);
    if (!this.averaged) return pair;
    const count = past.channels;
    const apart = state.map((each, i) => {
      const cell = Math.floor(i / state.channels) * count;
      return past.data[cell + (i % state.channels)] / past.data[cell + count - 1] - each;
    });
    return joined([pair, apart]);
  }

  /** States with the latent actions that led to them, divided by their spread. */
  #pair(state, latentAction) {
    return joined([state, latentAction.map((each, i) => each / this.spread[i % this.spread.length])]);
  }
}
