/** The controls beside the picture: buttons of actions, sliders of latent actions, and what the keys do. */
import { actionKeys, shown } from "../play/keymap.js";

const ARROWS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };
/** Where an arrow stands on the pad, as CSS has it: row / column; without an arrow down, one row is enough. */
const PLACES = { ArrowUp: "1 / 2", ArrowLeft: "2 / 1", ArrowDown: "2 / 2", ArrowRight: "2 / 3" };
const IN_A_ROW = { ...PLACES, ArrowUp: "2 / 2" };
/** Most sliders; where a latent action has more numbers, the first vary most. */
const SLIDERS = 12;

export function made(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name in element && name !== "style") element[name] = value;
    else element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Buttons for discrete actions, with a pad of arrows; `pressed(action)` is called. Returns the buttons. */
export function actionButtons(parent, { action_names: names }, count, pressed) {
  const codes = actionKeys(names, count);
  const pad = made("div", { className: "pad" });
  const others = made("div", { className: "others" });
  const places = codes.includes("ArrowDown") ? PLACES : IN_A_ROW;
  const buttons = codes.map((code, action) => {
    const name = names[action] ?? `action ${action}`;
    const arrow = ARROWS[code];
    const button = made("button", { type: "button", title: `${name}${code ? ` (${shown(code)})` : ""}` });
    button.append(arrow ?? name, made("small", {}, arrow ? name : code ? shown(code) : ""));
    if (arrow) button.style.gridArea = places[code];
    button.addEventListener("click", () => pressed(action));
    (arrow ? pad : others).append(button);
    return button;
  });
  parent.append(...[pad, others].filter((group) => group.children.length));
  return buttons;
}

/** Sliders of continuous actions and a button that makes a step by them: {act(), nudge(by)}, the latter of the first. */
export function actionSliders(parent, count, pressed) {
  const box = made("div", { className: "sliders" });
  const rows = Array.from({ length: count }, (_, i) => {
    const row = { input: slider(-1, 1, 0.01), output: made("output") };
    box.append(made("label", {}, count === 1 ? "action" : `action ${i + 1}`, row.input, row.output));
    row.input.addEventListener("input", () => tell(row));
    return row;
  });
  const tell = ({ input, output }) => (output.textContent = decimal(Number(input.value)));
  rows.forEach(tell);
  const step = made("button", { type: "button", title: "A step with this action (↑)" }, "Step", made("small", {}, "↑"));
  const act = () => pressed(rows.map(({ input }) => Number(input.value)));
  const nudge = (by) => {
    rows[0].input.valueAsNumber += by; // the slider keeps to its ends
    tell(rows[0]);
  };
  step.addEventListener("click", act);
  parent.append(box, made("div", { className: "others" }, step));
  return { act, nudge };
}

const decimal = (value) => (value < 0 ? "−" : "") + Math.abs(value).toFixed(2);

function slider(min, max, step) {
  return made("input", { type: "range", min, max, step, value: 0 });
}

/** The sliders of the latent action of one cell. */
export class Sliders {
  /** `acted({row, col}, numbers)` is called when one was let go, `moved()` while it is dragged. */
  constructor(parent, model, { acted, moved }) {
    Object.assign(this, { model, chosen: null });
    this.all = new Float32Array(model.config.latent_action);
    this.place = { row: 0, col: 0 };
    const places = model.single ? [] : ["row", "col"];
    const numbers = Array.from({ length: Math.min(this.all.length, SLIDERS - places.length) }, (_, i) => i);
    this.rows = [...places, ...numbers].map((what) => this.#row(parent, what, acted, moved));
  }

  #row(parent, what, acted, moved) {
    const place = typeof what === "string";
    const input = place ? slider(0, 0, 1) : slider(-1, 1, 0.01);
    const output = made("output", {});
    const name = { row: "row", col: "column" }[what] ?? `u ${what + 1}`;
    parent.append(made("label", {}, name, input, output));
    input.addEventListener("input", () => {
      if (place) this.place = this.chosen = { ...this.place, [what]: Number(input.value) };
      else this.all[what] = Number(input.value);
      this.#tell();
      moved();
    });
    if (!place) input.addEventListener("change", () => acted(this.place, this.all));
    return { what, input, output };
  }

  /** Shows the latent action that led here: that of the chosen cell, or else of the cell that moved most. */
  show({ latentAction }) {
    const { rows, cols, channels, data } = latentAction;
    if (this.chosen) {
      const first = (this.chosen.row * cols + this.chosen.col) * channels;
      [this.place, this.all] = [this.chosen, data.slice(first, first + channels)];
    } else if (data.some((each) => each)) {
      const { row, col, numbers } = this.model.summarise(latentAction);
      [this.place, this.all] = [{ row, col }, numbers];
    } else this.all = new Float32Array(channels);
    this.all = this.all.map((each) => Math.min(Math.max(each, -1), 1));
    const most = { row: rows - 1, col: cols - 1 };
    for (const { what, input } of this.rows) if (what in most) input.max = most[what];
    this.#tell();
  }

  #tell() {
    for (const { what, input, output } of this.rows) {
      const value = typeof what === "string" ? this.place[what] : this.all[what];
      input.value = value;
      output.textContent = typeof what === "string" ? value : decimal(value);
    }
  }
}

/** What the keys do, as pairs for the help. */
export function help(session, codes) {
  const { action_names: names } = session.card.card;
  const actions = codes.map((code, i) => [code && shown(code), names[i] ?? `action ${i}`]).filter(([key]) => key);
  const numbers = session.acts && !session.discrete;
  const rows = [
    ...actions,
    numbers && ["↑", "a step with the action that the sliders say"],
    numbers && ["←, →", "move the first slider"],
    ["Enter", "begin anew"],
    ["⌫", "one step back; the bar below the picture goes to any moment"],
    session.policy && ["A", "the trained agent drives"],
    session.model.control && ["G", "the dream goes on by itself: its control model chooses"],
    (session.policy || session.model.control) && [". and E", "pause; one step while paused"],
    ["1, 2, 3", "background, content or motion alone; again: all"],
    session.model.doubt && ["U", "cells that the dream doubts, in red"],
    ["+, −, 0", "closer, farther, the whole picture"],
    ["wheel, pinch, drag", "zoom and pan; no pixel ever shows, for the picture is a function"],
    ["tap a cell", "choose it for the sliders of the latent action"],
  ];
  return rows.filter(Boolean).flatMap(([key, what]) => [made("dt", {}, key), made("dd", {}, what)]);
}
