/** The memory of a step: what one frame does not show, such as velocity, or what the agent carries. */
import { joined } from "./field.js";
import { sigmoid } from "./gelu.js";
import { CellConvolution, Linear, LocalNetwork } from "./local.js";

/** `h' = memory(h, z, z', a)`, a convolutional gated recurrent unit, the same in every cell. */
export class RecurrentMemory {
  constructor(tensors) {
    this.heard = new LocalNetwork(tensors, "memory.heard");
    this.kept = new CellConvolution(tensors["memory.kept.weight"]);
    this.everywhere = new Linear(tensors["memory.everywhere.weight"]);
    this.acted = new Linear(tensors["memory.acted.weight"]);
  }

  /** Memory, what the frames before and after a step show, and the action as numbers → the memory after it. */
  forward(memory, state, following, action) {
    const change = following.map((each, i) => each - state.data[i]);
    const heard = this.heard.forward(joined([following, change])).data;
    const kept = this.kept.forward(memory).data;
    const far = this.everywhere.forward(memory.largest());
    const acted = this.acted.forward(action);
    const made = memory.like(memory.channels);
    const size = memory.channels;
    for (let i = 0; i < made.data.length; i++) {
      const channel = i % size;
      const at = (i - channel) * 3 + channel; // of the three parts of a cell: what is kept, what is reset, what is new
      const told = (part) => heard[at + part * size] + far[channel + part * size] + acted[channel + part * size];
      const keep = sigmoid(told(0) + kept[at]);
      const reset = sigmoid(told(1) + kept[at + size]);
      const news = Math.tanh(told(2) + reset * kept[at + 2 * size]);
      made.data[i] = keep * memory.data[i] + (1 - keep) * news;
    }
    return made;
  }
}
