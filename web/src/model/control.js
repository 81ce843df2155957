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
  }

  /** An empty memory for states like this one: {hidden, latentAction}. */
  reset(state) {
    return { hidden: this.gates.map(() => state.like(this.hidden)), latentAction: state.like(this.spread.length) };
  }

  /** The hidden memory after the last latent action and the state that it led to. */
  listen(memory, state) {
    const scaled = memory.latentAction.map((each, i) => each / this.spread[i % this.spread.length]);
    let inputs = joined([state, scaled]);
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

  /** The latent actions that follow in a state which was listened to. */
  answer(hidden, state) {
    const made = this.last.forward(this.first.forward(joined([...hidden, state])).map(gelu));
    return made.map((each, i) => each * this.spread[i % this.spread.length]);
  }
}
