/** Steps one dream, exactly as `nova_gym/simulator.py` does. */
import { uniform } from "./noise.js";

/** Largest absolute value in a state; beyond it the dream is lost, and the state is clamped. */
const STATE_LIMIT = 1000;

export class Simulator {
  /** `card`: of the dream; `horizon`: steps after which an episode is truncated, 0 for never. */
  constructor(model, card, horizon = card.horizon) {
    Object.assign(this, { model, card, horizon });
  }

  /** Begins an episode. `key`: of its chance, a BigInt: the same key, start and actions lead to the same episode. */
  reset(state, key = 0n) {
    this.key = key;
    this.resume({ state, step: 0, belief: this.model.doubt?.begin(state) });
  }

  /** Goes on from a moment of this episode: {state, step, belief}. */
  resume({ state, step, belief }) {
    Object.assign(this, { state, steps: step, belief });
  }

  /** Steps by an action of the environment: a whole number, or a list of numbers in [-1, 1]. */
  step(action) {
    const { state, model } = this;
    const drawn = model.chance ? uniform(this.key, this.steps, state.cells) : undefined;
    return this.stepLatent(model.translate(state, action, drawn), action);
  }

  /** Steps by latent actions: {state, latentAction, reward, end, terminated, truncated, lost}. */
  stepLatent(latentAction, action) {
    const { model, card, state: before } = this;
    const shown = model.step(before, latentAction, card.dead_band);
    const [rewarded, ended] = this.#drawn();
    let [reward, end, undecided] = model.outcome(before, latentAction, shown, action, rewarded);
    const state = model.recall(before, shown, action);
    const lost = clamp(state.data);
    this.steps += 1;
    if (card.reward_discount && reward > 0) reward *= 1 - (card.reward_discount * this.steps) / this.horizon;
    this.state = state;
    if (this.belief) {
      const known = action === undefined ? undefined : model.asNumbers(action);
      this.belief = model.doubt.step(this.belief, before, known, state, undecided);
    }
    const truncated = lost || (this.horizon > 0 && this.steps >= this.horizon);
    return { state, latentAction, reward: reward || 0, end, terminated: end > (ended ?? 0.5), truncated, lost };
  }

  /** What draws reward and ending; undefined for what is not random. */
  #drawn() {
    const { random_rewards: rewards, random_endings: endings } = this.card;
    if (!rewards && !endings) return [];
    const [rewarded, ended] = uniform(~this.key, this.steps, 2);
    return [rewards ? rewarded : undefined, endings ? ended : undefined];
  }
}

/** Clamps numbers to the limit, what is no number to 0; says whether there was anything to clamp. */
function clamp(numbers) {
  let lost = false;
  for (let i = 0; i < numbers.length; i++) {
    if (Math.abs(numbers[i]) < STATE_LIMIT) continue; // written so that NaN counts as lost
    lost = true;
    numbers[i] = Math.min(Math.max(numbers[i] || 0, -STATE_LIMIT), STATE_LIMIT);
  }
  return lost;
}
