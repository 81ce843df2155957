/** The forward dynamics: `z' = A(z) + B(u)`. */
import { LocalNetwork } from "./local.js";

export class ForwardDynamics {
  constructor(tensors) {
    this.contentNetwork = new LocalNetwork(tensors, "forward_dynamics.content_network");
    this.motionNetwork = new LocalNetwork(tensors, "forward_dynamics.motion_network");
  }

  /** A: states → their part in the next states. */
  content(state) {
    const made = this.contentNetwork.forward(state);
    for (let i = 0; i < made.data.length; i++) made.data[i] += state.data[i];
    return made;
  }

  /** B: latent actions → their part in the next states. */
  motion(latentAction) {
    return this.motionNetwork.forward(latentAction);
  }

  /** One step: states and latent actions → next states. */
  forward(state, latentAction) {
    const made = this.content(state);
    const moved = this.motion(latentAction);
    for (let i = 0; i < made.data.length; i++) made.data[i] += moved.data[i];
    return made;
  }
}
