/** The generative control model (GCM): what happens next, from what happened so far. */
import { joined } from "./field.js";
import { gelu, sigmoid } from "./gelu.js";
import { CellConvolution } from "./local.js";

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
  }

  /** An empty memory for states like this one: {hidden, latentAction}. */
  reset(state) {
    return { hidden: this.gates.map(() => state.like(this.hidden)), latentAction: state.like(this.spread.length) };
  }

  /** The hidden memory after the last latent action and the state that it led to. */
  listen(memory, state) {
    let inputs = this.#pair(state, memory.latentAction);
    return memory.hidden.map((before, number) => {
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
  }

  /** The latent actions that follow in a state which was listened to, and to which those before it led. */
  answer(hidden, state, before) {
    const made = this.last.forward(this.first.forward(joined([...hidden, state])).map(gelu));
    const linear = this.linear?.forward(this.#pair(state, before));
    return made.map((each, i) => (each + (linear?.data[i] ?? 0)) * this.spread[i % this.spread.length]);
  }

  /** States with the latent actions that led to them, divided by their spread. */
  #pair(state, latentAction) {
    return joined([state, latentAction.map((each, i) => each / this.spread[i % this.spread.length])]);
  }
}
