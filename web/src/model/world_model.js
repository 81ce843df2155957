/** The whole model, read in the order of the method: begin, translate, step, outcome, recall, render (`nova_gym/model/world_model.py`). */
import { ActionBridge } from "./bridge.js";
import { Chance } from "./chance.js";
import { Control } from "./control.js";
import { Doubt } from "./doubt.js";
import { ForwardDynamics } from "./dynamics.js";
import { joined } from "./field.js";
import { Heads, likeliest, NO_ODDS } from "./heads.js";
import { RendererChoice } from "./inr.js";
import { RecurrentMemory } from "./memory.js";

export class WorldModel {
  /** `config`: of the dream; `tensors`: by their names in the dream's file, {shape, data}. */
  constructor(config, tensors) {
    this.config = config;
    this.forwardDynamics = new ForwardDynamics(tensors);
    this.bridge = config.actions ? new ActionBridge(config, tensors) : null;
    this.heads = config.actions ? new Heads(config, tensors) : null;
    this.memory = config.actions && config.memory ? new RecurrentMemory(tensors) : null;
    this.chance = config.actions && config.outcomes ? new Chance(config, tensors) : null;
    this.control = config.control ? new Control(config, tensors) : null;
    this.doubt = config.doubt ? new Doubt(config, tensors) : null;
    this.looks = config.looks ? tensors.looks.data : null;
    this.renderers = new RendererChoice(config, tensors);
  }

  /** Whether the whole frame is one cell, so that a latent action need not say where it happens. */
  get single() {
    return this.config.cell.every((side, i) => side === this.config.frame_size[i]);
  }

  /** The part of a state that the frame shows. */
  seen(state) {
    return state.channels === this.config.rank ? state : state.part(0, this.config.rank);
  }

  /** An action as numbers: one-hot where actions are discrete, zeros where it is not known. */
  asNumbers(action) {
    const numbers = new Float32Array(this.config.actions);
    if (action === undefined) return numbers;
    if (!this.config.discrete) return Float32Array.from(action);
    if (action in numbers) numbers[action] = 1;
    return numbers;
  }

  /** An action of the environment as a latent action. `uniform`: decides chance, see `Chance.draw`. */
  translate(state, action, uniform) {
    return this.bridge.forward(this.#withOutcomes(state, action, uniform), action);
  }

  #withOutcomes(state, action, uniform) {
    return this.chance ? joined([state, this.chance.draw(state, this.asNumbers(action), uniform)]) : state;
  }

  /** The latent actions of all discrete actions, as is likeliest. */
  possible(state) {
    const { actions } = this.config;
    if (!this.chance) return this.bridge.all(state, actions);
    return Array.from({ length: actions }, (_, action) => this.translate(state, action));
  }

  /**
   * What the next frame shows: `z' = A(z) + B(u)`, where cells that hardly change stay exactly as they were. Where cells
   * have few looks, the others get the nearest.
   */
  step(state, latentAction, deadBand) {
    const before = this.seen(state);
    const following = this.forwardDynamics.forward(before, latentAction);
    const size = before.channels;
    for (let start = 0; start < before.data.length; start += size) {
      let square = 0;
      for (let i = start; i < start + size; i++) square += (following.data[i] - before.data[i]) ** 2;
      if (!(square / size > deadBand)) following.data.set(before.data.subarray(start, start + size), start);
      else if (this.looks) this.#takeLook(following.data.subarray(start, start + size));
    }
    return following;
  }

  #takeLook(cell) {
    let best = 0;
    let least = Infinity;
    let largest = 0;
    for (let look = 0; look < this.looks.length; look += cell.length) {
      let square = 0;
      let size = 0;
      for (let i = 0; i < cell.length; i++) {
        square += (cell[i] - this.looks[look + i]) ** 2;
        size += this.looks[look + i] ** 2;
      }
      largest = Math.max(largest, size);
      if (square < least) [best, least] = [look, square];
    }
    if (least <= 4 * largest) cell.set(this.looks.subarray(best, best + cell.length));
  }

  /** Undiscounted reward and probability of the end; 0 for both without heads. */
  outcome(state, latentAction, following, action, uniform) {
    if (!this.heads) return [0, 0, NO_ODDS];
    const more = [state.part(this.config.rank, state.channels), this.asNumbers(action)];
    return this.heads.outcome(this.seen(state), latentAction, following, more, uniform);
  }

  /** The state after a step: what the frame shows, and the memory after hearing it. */
  recall(state, following, action) {
    if (!this.memory) return following;
    const before = state.part(this.config.rank, state.channels);
    return joined([following, this.memory.forward(before, this.seen(state), following, this.asNumbers(action))]);
  }

  /** One layer of the frame that a step leads to, as a state: what all cells share, what stays, what moves. */
  layer(name, state, latentAction) {
    if (name === "background") return state.like(this.config.rank);
    return name === "content" ? this.forwardDynamics.content(this.seen(state)) : this.forwardDynamics.motion(latentAction);
  }

  /**
   * The control model's choice after what it heard: {action, latentAction}; the nearest
   * discrete action, if there are any.
   */
  choose(heard, state) {
    const wanted = this.control.answer(heard, this.seen(state)).map((each) => Math.min(Math.max(each, -1), 1));
    if (!this.bridge || !this.config.discrete) return { latentAction: wanted };
    const off = this.possible(state).map((each) => -each.data.reduce((sum, u, i) => sum + (u - wanted.data[i]) ** 2, 0));
    return { action: likeliest(off) };
  }

  /** Latent actions that move one cell, `place` as {row, col}, by U numbers. */
  place(state, { row, col }, numbers) {
    const made = state.like(this.config.latent_action);
    made.data.set(numbers, (row * state.cols + col) * made.channels);
    return made;
  }

  /** The cell that moves most: {row, col, numbers}. */
  summarise(latentAction) {
    const squares = Array.from({ length: latentAction.cells }, (_, cell) => {
      const numbers = latentAction.data.subarray(cell * latentAction.channels, (cell + 1) * latentAction.channels);
      return numbers.reduce((sum, u) => sum + u * u, 0);
    });
    const cell = likeliest(squares);
    const numbers = latentAction.data.slice(cell * latentAction.channels, (cell + 1) * latentAction.channels);
    return { row: Math.floor(cell / latentAction.cols), col: cell % latentAction.cols, numbers };
  }
}
