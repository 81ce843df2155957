/** The model in JavaScript makes the numbers that Python makes (`tools/web_numbers.py`). */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gelu } from "../src/model/gelu.js";
import { WorldModel } from "../src/model/world_model.js";
import { Simulator } from "../src/simulator.js";
import { half, readDream, startsOf } from "../src/tensors.js";
import { Axis } from "../src/model/axes.js";

const CASES = JSON.parse(readFileSync(new URL("numbers.json", import.meta.url)));

function opened(told) {
  const { card, tensors } = readDream(told.page, told.numbers);
  const model = new WorldModel(card.config, tensors);
  const simulator = new Simulator(model, card.card, card.levels[0].horizon);
  const start = startsOf(tensors, card.levels[0])[0].at(0);
  simulator.reset(start, BigInt(told.key));
  return { model, simulator, start };
}

function near(found, expected, within, what) {
  assert.equal(found.length, expected.length, what);
  const off = Math.max(...expected.map((each, i) => Math.abs(each - found[i])));
  assert.ok(off <= within, `${what}: off by ${off}`);
}

for (const [name, told] of Object.entries(CASES)) {
  test(`${name}: states, rewards, endings and doubt are those of Python`, () => {
    const { model, simulator } = opened(told);
    told.trace.forEach((expected, i) => {
      const memory = model.control?.reset(simulator.state);
      const heard = memory && model.control.listen(memory, model.seen(simulator.state));
      const chosen = heard && model.choose(heard, simulator.state, memory.latentAction);
      if ("chosen" in expected) assert.equal(chosen.action, expected.chosen);
      const action = told.actions[i];
      const made = action === null ? simulator.stepLatent(chosen.latentAction) : simulator.step(action);
      near(made.latentAction.data, expected.latent_action, 1e-4, "latent action");
      near(made.state.data, expected.state, 1e-4, "state");
      near([made.reward], [expected.reward], 1e-4, "reward");
      assert.deepEqual([made.terminated, made.truncated], [expected.terminated, expected.truncated]);
      if (!("doubt" in expected)) return;
      near([simulator.belief.doubt], [expected.doubt], 1e-3, "doubt");
      near(simulator.belief.doubtMap, expected.doubt_map, 1e-3, "doubt of cells");
    });
  });

  test(`${name}: layers and pictures are those of Python`, () => {
    const { model, start } = opened(told);
    const { state, latent_action: latent } = told.trace.at(-1);
    const after = start.like(start.channels);
    after.data.set(state);
    const moved = start.like(model.config.latent_action);
    moved.data.set(latent);
    for (const [layer, expected] of Object.entries(told.layers))
      near(model.layer(layer, start, moved).data, expected, 1e-4, layer);
    for (const { size, pixels } of told.pictures) near(picture(model, model.seen(after), ...size), pixels, 1e-3, `${size}`);
  });
}

/** A whole picture, as the fallback of the page draws it. */
function picture(model, state, height, width) {
  const { renderer, mask } = model.renderers.of(height / state.rows, width / state.cols);
  const [h, w] = model.config.blend ? model.config.cell : [0, 0];
  const [y, x] = [new Axis(state.rows, h, height, 0, state.rows), new Axis(state.cols, w, width, 0, state.cols)];
  const made = new Float32Array(height * width * renderer.config.channels);
  for (const rows of y.bands) for (const cols of x.bands) drawInto(made, renderer, mask, state, [y, rows], [x, cols]);
  return made.map((each) => Math.min(Math.max(each, 0), 1));
}

function drawInto(made, renderer, mask, state, [y, rows], [x, cols]) {
  const line = (axis, band, cell) => {
    const pixels = Array.from({ length: band.beyond - band.first }, (_, i) => band.first + i);
    return pixels.map((pixel) => [pixel, axis.coordinate(pixel, cell), axis.share(pixel, band)]);
  };
  const { channels } = renderer.config;
  for (const down of rows.blended ? [0, 1] : [0])
    for (const right of cols.blended ? [0, 1] : [0]) {
      const [row, col] = [rows.lower + down, cols.lower + right];
      const [ys, xs] = [line(y, rows, row), line(x, cols, col)];
      const weights = renderer.weights(state, row * state.cols + col);
      const drawn = renderer.draw(weights, xs.map((each) => each[1]), ys.map((each) => each[1]), mask); // prettier-ignore
      ys.forEach(([py, , sy], j) =>
        xs.forEach(([px, , sx], i) => {
          const share = (down ? sy : 1 - sy) * (right ? sx : 1 - sx);
          for (let c = 0; c < channels; c++)
            made[(py * x.pixels + px) * channels + c] += share * drawn[(j * xs.length + i) * channels + c];
        }),
      );
    }
}

test("GELU is exact to 2e-6", () => {
  const exact = { "-3": -0.00404951, "-1": -0.15865525, "-0.1": -0.04601722, 0: 0, 0.5: 0.34573123, 2: 1.95449974, 9: 9 };
  for (const [x, expected] of Object.entries(exact)) near([gelu(Number(x))], [expected], 2e-6, x);
});

test("numbers in half precision are read", () => {
  const bits = { 0x3c00: 1, 0xc000: -2, 0x0001: 2 ** -24, 0x3555: 0.333251953125, 0x7bff: 65504 };
  for (const [each, expected] of Object.entries(bits)) assert.equal(half(Number(each)), expected);
});
