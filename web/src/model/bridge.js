/** The action bridge: the environment's own actions as latent actions. */
import { joined } from "./field.js";
import { LocalNetwork } from "./local.js";

/** `u = bridge(h, z, a, c)`: an action as a latent action, given the state. */
export class ActionBridge {
  constructor(config, tensors) {
    this.discrete = config.discrete;
    this.size = config.latent_action;
    this.network = new LocalNetwork(tensors, "bridge.network");
  }

  /** `state`: with memory and outcomes; `action`: a whole number, or a list of numbers in [-1, 1]. */
  forward(state, action) {
    if (!this.discrete) return this.network.forward(joined([state, action]));
    return this.#of(this.network.forward(state), action);
  }

  /** The latent actions of all discrete actions, in their order. */
  all(state, count) {
    const possible = this.network.forward(state);
    return Array.from({ length: count }, (_, action) => this.#of(possible, action));
  }

  #of(possible, action) {
    const first = action * this.size;
    return first + this.size <= possible.channels ? possible.part(first, first + this.size) : possible.like(this.size);
  }
}
