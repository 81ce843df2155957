/** Doubt: how far a step of the dream is to be trusted, in each cell and for the whole frame (`nova_gym/model/doubt.py`). */
import { gelu, sigmoid } from "./gelu.js";
import { Linear } from "./local.js";

/** The logit of a step at which nothing was looked at; and implausibility beyond which, either way, nothing more is said. */
const LEAST = -20;
const LARGEST = 12;
/** Points a side at which cells are drawn, to be compared with pictures of the codes; the least squared difference. */
const POINTS = 6;
const LEAST_ERROR = 1e-6;

export class Doubt {
  constructor(config, tensors) {
    const named = (name) => tensors[`doubt.${name}`].data;
    this.rank = config.rank;
    this.memory = config.memory;
    this.actions = config.actions;
    this.reach = config.cell.every((side, i) => side === config.frame_size[i]) ? 1 : 3;
    this.network = [0, 2, 4].map((i) => new Linear(tensors[`doubt.network.${i}.weight`], tensors[`doubt.network.${i}.bias`]));
    this.codes = named("codes");
    this.lively = named("lively");
    this.inr = config.inr;
    const drawn = (name) => (tensors[`doubt.${name}`] ?? tensors[name]).data; // a file has both where they differ
    this.base = drawn("base");
    this.basis = drawn("basis");
    this.features = fourierFeatures(config.inr.frequencies);
    this.logErrors = named("log_errors");
    this.logSpread = named("log_spread")[0];
    this.logScale = named("log_scale")[0];
    this.stepWeights = named("step_weights");
    this.frameWeights = named("frame_weights");
    this.outcomeWeights = named("outcome_weights");
    this.likelyWeights = named("likely_weights");
  }

  /** What is believed of a state that an episode begins from. */
  begin(state) {
    const belief = { lively: [], novelty: [], strayed: [], doubtMap: [], start: 0, most: LEAST, steps: 0, doubt: 0 };
    for (let cell = 0; cell < state.cells; cell++) {
      const [code, square] = this.#nearest(state.data, cell * state.channels);
      belief.lively.push(this.lively[code] > 0.5);
      belief.novelty.push(this.#novelty(square));
      belief.strayed.push(Math.log(LEAST_ERROR));
      belief.doubtMap.push(sigmoid(this.likelyWeights[0] * this.#likelyError(code, square) + this.likelyWeights[1]));
    }
    belief.start = belief.doubt = Math.max(...belief.doubtMap);
    return belief;
  }

  /**
   * What is believed after a step; `action` as numbers, undefined for one that is not known; `undecided`: how much the
   * heads are.
   */
  step(belief, state, action, following, undecided) {
    const next = { ...belief, lively: [...belief.lively], novelty: [...belief.novelty] };
    next.strayed = [...belief.strayed];
    next.doubtMap = [...belief.doubtMap];
    const changed = (cell) => state.data[cell * state.channels] !== following.data[cell * following.channels];
    let largest = LEAST;
    for (let cell = 0; cell < state.cells; cell++) {
      if (!changed(cell) && !belief.lively[cell]) continue;
      const near = this.#near(state, cell);
      if (changed(cell)) {
        const start = cell * following.channels;
        const [code, square] = this.#nearest(following.data, start);
        next.lively[cell] = this.lively[code] > 0.5;
        next.novelty[cell] = this.#novelty(square);
        next.strayed[cell] = this.#strayed(following.data.subarray(start, start + this.rank), code);
      }
      const strange = Math.max(0, ...near.map((each) => (each < 0 ? 0 : belief.novelty[each])));
      const unlike = this.#unlike(near, state, action, following, cell);
      const evidence = [unlike, next.novelty[cell], strange, next.strayed[cell], 1];
      const logit = evidence.reduce((sum, each, i) => sum + each * this.stepWeights[i], 0);
      largest = Math.max(largest, logit);
      // what a step makes of cells that were wrong is wrong as well, there and where they move to
      const moved = near.map((each) => (each >= 0 && changed(each) ? belief.doubtMap[each] : 0));
      const kept = changed(cell) ? Math.max(...moved) : belief.doubtMap[cell];
      next.doubtMap[cell] = Math.max(sigmoid(logit), kept);
    }
    next.most = Math.max(belief.most, largest);
    next.steps = belief.steps + 1;
    const soFar = [next.most, Math.log(next.steps), largest, 1];
    const logit = soFar.reduce((sum, each, i) => sum + each * this.frameWeights[i], 0);
    const outcome = this.outcomeWeights[0] * undecided + this.outcomeWeights[1];
    next.doubt = 1 - (1 - belief.start) * sigmoid(-logit) * sigmoid(-outcome);
    return next;
  }

  /** The nearest code to the cell whose numbers begin at `start`, and the squared distance to it. */
  #nearest(numbers, start) {
    let code = 0;
    let least = Infinity;
    for (let each = 0; each * this.rank < this.codes.length; each++) {
      let square = 0;
      for (let i = 0; i < this.rank; i++) square += (numbers[start + i] - this.codes[each * this.rank + i]) ** 2;
      if (square < least) [code, least] = [each, square];
    }
    return [code, least];
  }

  #novelty(square) {
    return Math.log1p(square * Math.exp(-this.logSpread));
  }

  /** The logarithm of the squared error that a cell is probably drawn with. */
  #likelyError(code, square) {
    return logAddExp(this.logErrors[code], this.logScale + Math.log(Math.max(square, 1e-12)));
  }

  /** The logarithm of the squared difference between the pictures of a cell and of its code, at a few points. */
  #strayed(numbers, code) {
    const own = this.#drawn(numbers);
    const other = this.#drawn(this.codes.subarray(code * this.rank, (code + 1) * this.rank));
    const square = own.reduce((sum, each, i) => sum + (each - other[i]) ** 2, 0) / own.length;
    return Math.log(Math.max(Number.isNaN(square) ? 1 : square, LEAST_ERROR));
  }

  /** A cell's picture at a few points. */
  #drawn(numbers) {
    const weights = this.base.map((each, i) => numbers.reduce((sum, z, k) => sum + z * this.basis[k * this.base.length + i], each));
    const { width, layers, channels } = this.inr;
    const sizes = [...Array(layers).fill(width), channels];
    const drawn = [];
    for (const features of this.features) {
      let units = features;
      let at = 0;
      sizes.forEach((outputs, layer) => {
        const inputs = units.length;
        const made = Array.from({ length: outputs }, (_, j) =>
          units.reduce((sum, unit, i) => sum + unit * weights[at + j * inputs + i], weights[at + inputs * outputs + j]),
        );
        units = layer < layers ? made.map(gelu) : made;
        at += (inputs + 1) * outputs;
      });
      drawn.push(...units.map((each) => Math.min(Math.max(each + 0.5, 0), 1)));
    }
    return drawn;
  }

  /** How little what happened in a cell is like what training has seen. */
  #unlike(near, state, action, following, cell) {
    const { rank } = this;
    const inputs = new Float32Array(this.network[0].inputs);
    near.forEach((each, place) => {
      if (each < 0) return;
      inputs.set(state.data.subarray(each * state.channels, each * state.channels + rank), place * rank);
    });
    let at = near.length * rank;
    for (let i = 0; i < rank; i++)
      inputs[at++] = following.data[cell * following.channels + i] - state.data[cell * state.channels + i];
    for (let i = 0; i < this.memory; i++) inputs[at++] = state.data[cell * state.channels + rank + i];
    if (action) inputs.set(action, at);
    const [first, second, last] = this.network;
    const unlike = last.forward(second.forward(first.forward(inputs).map(gelu)).map(gelu))[0];
    return Math.min(Math.max(unlike, -LARGEST), LARGEST);
  }

  /** The neighbours of a cell, row by row; -1 beyond the border. */
  #near(field, cell) {
    const row = Math.floor(cell / field.cols);
    const col = cell % field.cols;
    const found = [];
    const around = this.reach >> 1;
    for (let y = row - around; y <= row + around; y++)
      for (let x = col - around; x <= col + around; x++)
        found.push(y >= 0 && y < field.rows && x >= 0 && x < field.cols ? y * field.cols + x : -1);
    return found;
  }
}

/** The inputs of a coordinate network at points of a cell: x, y, then for each octave sin x, sin y, cos x, cos y. */
function fourierFeatures(frequencies) {
  const centres = Array.from({ length: POINTS }, (_, i) => ((i + 0.5) * 2) / POINTS - 1);
  return centres.flatMap((y) =>
    centres.map((x) => {
      const features = [x, y];
      for (let k = 0; k < frequencies; k++)
        for (const wave of [Math.sin, Math.cos]) features.push(wave(Math.PI * 2 ** k * x), wave(Math.PI * 2 ** k * y));
      return features;
    }),
  );
}

function logAddExp(a, b) {
  const most = Math.max(a, b);
  return most + Math.log1p(Math.exp(Math.min(a, b) - most));
}
