/** What policies read of a field (`agents/features.py`). */
import { softmax } from "../model/heads.js";
import { Linear } from "../model/local.js";
import { distances } from "./distances.js";

const [NEAREST, FARTHEST, DEAREST] = [-2, 6, 100];
const SHARPNESS = 12;
const RANGES = [8, 32];
const LIMIT = 10;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const relu = (numbers) => numbers.map((each) => Math.max(each, 0));

/** Features by the name of the class that makes them: state → numbers. */
export const FEATURES = {
  /** What lies around the cell that the agent looks at, and which way is shorter; of fields of any size. */
  FieldFeatures: (tensors) => fieldFeatures(tensors),
  /** The same, and a small embedding of each cell in its place. */
  PlacedFeatures: (tensors) => {
    const placed = new Linear(tensors["policy.placed.0.weight"], tensors["policy.placed.0.bias"]);
    return fieldFeatures(tensors, (cells, rank) =>
      Array.from({ length: cells.length / rank }, (_, cell) => [...relu(placed.forward(cells, cell * rank))]).flat(),
    );
  },
  /** The numbers of a field of one cell, as they are. */
  WholeFeatures: () => (state) => state.data.map((each) => clamp(each, -LIMIT, LIMIT)),
};

function fieldFeatures(tensors, more = () => []) {
  const named = (name) => [tensors[`policy.${name}.weight`], tensors[`policy.${name}.bias`]];
  const embedding = new Linear(...named("embedding.0"));
  const last = new Linear(...named("last.0"));
  const [scale, shift] = named("last.1").map((tensor) => tensor.data);
  const { data: readings, shape } = tensors["policy.readings"];
  const rank = shape[1] - 1;
  return ({ rows, cols, data }) => {
    const cells = data.map((each) => clamp(each, -LIMIT, LIMIT));
    const count = rows * cols;
    const read = (reading) => Array.from({ length: count }, (_, cell) => {
      let sum = readings[reading * (rank + 1) + rank];
      for (let i = 0; i < rank; i++) sum += readings[reading * (rank + 1) + i] * cells[cell * rank + i];
      return sum;
    });
    const look = softmax(read(0).map((each) => SHARPNESS * each));
    const source = read(1).map((worth) => Math.exp(clamp(FARTHEST * (1 - worth), NEAREST, FARTHEST)));
    const far = distances(source, read(2).map((each) => 1 / clamp(each, 1 / DEAREST, 1)), rows, cols);
    const { around, seen } = lookAround(look, far, cells, { rows, cols, rank });
    const here = around[4];
    const anywhere = Array.from({ length: count }, (_, cell) => relu(embedding.forward(cells, cell * rank)));
    const inputs = [
      ...around.map((each) => (each - here) / (1 + Math.abs(each - here))),
      ...seen,
      ...RANGES.map((range) => Math.exp(-here / range)),
      ...anywhere.reduce((most, each) => most.map((value, i) => Math.max(value, each[i]))),
      ...more(cells, rank),
    ];
    return relu(normed(last.forward(inputs), scale, shift));
  };
}

/** Distances and states in the 3 × 3 cells around the point looked at; beyond the border the farthest, and 0. */
function lookAround(look, far, cells, { rows, cols, rank }) {
  const around = [];
  const seen = [];
  const edge = Math.exp(FARTHEST);
  for (let y = -1; y <= 1; y++)
    for (let x = -1; x <= 1; x++) {
      let distance = edge;
      const state = new Float64Array(rank);
      look.forEach((share, cell) => {
        const row = Math.floor(cell / cols) + y;
        const col = (cell % cols) + x;
        if (row < 0 || row >= rows || col < 0 || col >= cols) return;
        const there = row * cols + col;
        distance += share * (far[there] - edge);
        for (let i = 0; i < rank; i++) state[i] += share * cells[there * rank + i];
      });
      around.push(distance);
      seen.push(...state);
    }
  return { around, seen };
}

/** Layer normalisation. */
function normed(numbers, scale, shift) {
  const mean = numbers.reduce((a, b) => a + b, 0) / numbers.length;
  const variance = numbers.reduce((sum, each) => sum + (each - mean) ** 2, 0) / numbers.length;
  return numbers.map((each, i) => ((each - mean) / Math.sqrt(variance + 1e-5)) * scale[i] + shift[i]);
}
