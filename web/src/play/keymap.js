/** The keys of the page. Actions are told by their names, as in `envs/keys.py`. */

/** Name of an action → code of its key. */
const ACTION_KEYS = {
  ...{ left: "ArrowLeft", right: "ArrowRight", forward: "ArrowUp", up: "ArrowUp", down: "ArrowDown" },
  ...{ pickup: "PageUp", drop: "PageDown", toggle: "Space", done: "KeyD" },
};

/** Code of a key → command of the page. */
export const COMMAND_KEYS = {
  ...{ Enter: "reset", Backspace: "rewind", Period: "pause", KeyE: "step", KeyA: "agent", KeyG: "control" },
  ...{ Digit1: "background", Digit2: "content", Digit3: "motion", KeyU: "doubt", KeyH: "help" },
  ...{ Equal: "closer", NumpadAdd: "closer", Minus: "farther", NumpadSubtract: "farther", Digit0: "whole" },
};

/** What is shown on a key, by its code. */
const SHOWN = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", PageUp: "PgUp", PageDown: "PgDn" };
SHOWN.Backspace = "⌫";
SHOWN.Period = ".";

export const shown = (code) => SHOWN[code] ?? code.replace(/^(Key|Digit)/, "");

/** The keys of discrete actions, in their order: by their names, or where they have none the digits from 4 on. */
export function actionKeys(names, count) {
  if (names.length) return names.map((name) => ACTION_KEYS[name]);
  return Array.from({ length: count }, (_, i) => (i < 6 ? `Digit${i + 4}` : undefined));
}
