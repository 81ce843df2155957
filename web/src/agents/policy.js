/** An agent's policy: states as the odds of the environment's discrete actions. */
import { softmax } from "../model/heads.js";
import { Linear } from "../model/local.js";
import { gelu } from "../model/gelu.js";
import { FEATURES } from "./features.js";

const ACTIVATIONS = {
  Tanh: Math.tanh,
  ReLU: (x) => Math.max(x, 0),
  ELU: (x) => (x > 0 ? x : Math.expm1(x)),
  GELU: gelu,
  SiLU: (x) => x / (1 + Math.exp(-x)),
  LeakyReLU: (x) => (x > 0 ? x : 0.01 * x),
};

export class Policy {
  /** `card`: {features, layers: [{name, activation}]}, the last layer without an activation. */
  constructor(card, tensors) {
    this.features = FEATURES[card.features](tensors);
    this.layers = card.layers.map(({ name, activation }) => ({
      layer: new Linear(tensors[`policy.${name}.weight`], tensors[`policy.${name}.bias`]),
      activation: ACTIVATIONS[activation] ?? ((x) => x),
    }));
  }

  /** The probability of each action. */
  odds(state) {
    const logits = this.layers.reduce((sums, { layer, activation }) => layer.forward(sums).map(activation), this.features(state));
    return softmax(logits);
  }
}
