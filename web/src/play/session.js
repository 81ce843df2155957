/** A played session without its page: the dream, and the history of what was done. */
import { Policy } from "../agents/policy.js";
import { picked } from "../model/heads.js";
import { WorldModel } from "../model/world_model.js";
import { Simulator } from "../simulator.js";
import { startsOf } from "../tensors.js";

/** Moments that are kept; older ones are forgotten. */
const LONGEST = 1000;

export class Session {
  /** `dream`: {card, tensors} of `readDream`. */
  constructor({ card, tensors }) {
    this.card = card;
    this.model = new WorldModel(card.config, tensors);
    this.levels = card.levels.map((level) => ({ ...level, starts: startsOf(tensors, level) }));
    this.policy = card.policy ? new Policy(card.policy, tensors) : null;
    this.begin();
  }

  /** The present: {state, latentAction, action, step, reward, total, end, ended, belief, before}. */
  get now() {
    return this.history[this.at];
  }

  /** Whether a person's, or an agent's, actions step the dream. */
  get acts() {
    return this.card.config.actions > 0;
  }

  get discrete() {
    return this.acts && this.card.config.discrete;
  }

  /** Begins an episode: at a level, from one of its kinds of starts; `number`: which start, and `key`: its chance. */
  begin(level = 0, kind = 0, number = undefined, key = randomKey()) {
    const { starts, horizon } = this.levels[level];
    const which = number ?? Math.floor(Math.random() * starts[kind].count);
    Object.assign(this, { level, kind });
    this.simulator = new Simulator(this.model, this.card.card, horizon);
    const state = starts[kind].at(which);
    const past = starts[kind].past(which);
    const moment = { reward: 0, total: 0, end: 0, ended: false };
    this.simulator.reset(state, key);
    this.history = [...past.map((each) => each.state), state].map((each, step, states) => {
      const latentAction = past[step - 1]?.latentAction ?? state.like(this.card.config.latent_action);
      return { ...moment, state: each, latentAction, step, before: states[step - 1] };
    });
    this.at = past.length;
    this.now.belief = this.simulator.belief;
  }

  /** A step by an action of the environment. */
  act(action) {
    this.#resume();
    return this.#advance(this.simulator.step(action), action);
  }

  /** A step by a latent action in one cell, {row, col}, by hand. It pays and ends nothing: heads know actions alone. */
  latent(place, numbers) {
    this.#resume();
    const made = this.simulator.stepLatent(this.model.place(this.now.state, place, numbers));
    return this.#advance({ ...made, reward: 0, end: 0, terminated: false });
  }

  /** A step that the control model chooses, from all steps since the start. */
  goOn() {
    const heard = this.#heard(this.at);
    const chosen = this.model.choose(heard, this.now.state);
    if ("action" in chosen) return this.act(chosen.action);
    this.#resume();
    return this.#advance(this.simulator.stepLatent(chosen.latentAction));
  }

  /** A step that the agent draws. */
  agent() {
    return this.act(picked(this.policy.odds(this.now.state), Math.random()));
  }

  /** Goes to another moment of the history; the next step goes on from there. */
  rewind(at) {
    this.at = Math.min(Math.max(at, 0), this.history.length - 1);
  }

  /** What the control model has heard up to a moment, kept with it. */
  #heard(at) {
    const moment = this.history[at];
    moment.heard ??= this.model.control.listen(this.#memory(at), this.model.seen(moment.state));
    return moment.heard;
  }

  /** Its memory up to a moment, whose state it has not heard yet. */
  #memory(at) {
    const moment = this.history[at];
    return this.history[at - 1]
      ? { ...this.#heard(at - 1), latentAction: moment.latentAction }
      : this.model.control.reset(moment.state);
  }

  #resume() {
    this.simulator.resume(this.now);
  }

  #advance(made, action) {
    const { now } = this;
    const { state, latentAction, reward, end } = made;
    const ended = made.terminated || made.truncated;
    const next = { state, latentAction, action, reward, end, ended, total: now.total + reward };
    Object.assign(next, { before: now.state, step: this.simulator.steps, belief: this.simulator.belief });
    this.history.length = this.at + 1;
    this.history.push(next);
    if (this.history.length > LONGEST) this.history.shift();
    this.at = this.history.length - 1;
    return next;
  }
}

function randomKey() {
  return crypto.getRandomValues(new BigUint64Array(1))[0] >> 2n;
}
