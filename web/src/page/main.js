/** The page: puts session, picture and controls together. */
import { actionKeys, COMMAND_KEYS } from "../play/keymap.js";
import { Session } from "../play/session.js";
import { readDream } from "../tensors.js";
import { actionButtons, actionSliders, help, made, Sliders } from "./controls.js";
import { Stage } from "./stage.js";

/** Steps a second while an agent or the dream itself drives. */
const PACE = 8;
const LAYERS = ["background", "content", "motion"];

class Page {
  constructor(dream) {
    this.session = new Session(dream);
    const { model } = this.session;
    this.element = Object.fromEntries([...document.querySelectorAll("[id]")].map((each) => [each.id, each]));
    Object.assign(this, { layer: "", driving: "", paused: false, doubt: true, message: "", nextStep: 0 });
    this.stage = new Stage(model, this.element, {
      changed: () => this.show(),
      tapped: (cell) => this.#tap(cell),
    });
    this.sliders = new Sliders(this.element.sliders, model, {
      acted: (cell, numbers) => this.#person(() => this.session.latent(cell, numbers)),
      moved: () => this.show(),
    });
    this.#actions();
    this.#text();
    this.#menus();
    this.#listen();
    this.begin(0, 0);
    if (!this.session.acts && model.control) this.command("control");
    if (this.stage.hindrance) this.say(`${this.stage.hindrance}: drawn by JavaScript instead, coarser and slower`);
    this.#loop(0);
  }

  /** Begins an episode; `number`: which of the starts, any if undefined. */
  begin(level, kind, number) {
    this.session.begin(level, kind, number);
    const [rows, cols] = this.session.levels[level].cells;
    if (this.stage.cells.join() !== `${rows},${cols}` || !this.stage.ratio) this.stage.open(rows, cols);
    this.#fitStage();
    this.element.level.value = level;
    this.sliders.chosen = null;
    this.say("");
    this.moved();
  }

  /** After a step, or a jump in time. */
  moved() {
    const { session, element } = this;
    element.time.max = session.history.length - 1;
    element.time.value = session.at;
    this.sliders.show(session.now);
    if (session.now.ended && !this.driving)
      this.say(`${session.now.reward > 0 ? "Reached: the" : "The"} episode has ended. Enter or New begins another`);
    this.show();
  }

  say(message) {
    this.message = message;
    this.show();
  }

  /** Asks for a drawing at the next frame of the screen. */
  show() {
    this.dirty = true;
  }

  /** The state that is shown: the present, or a layer of the step that led here. */
  get shown() {
    const { now, model } = this.session;
    return this.layer ? model.layer(this.layer, now.before ?? now.state, now.latentAction) : now.state;
  }

  #draw() {
    const { session, element, stage } = this;
    const { now } = session;
    const doubted = now.belief ? now.belief.doubtMap.flatMap((each, cell) => (each > 0.5 ? [cell] : [])) : [];
    const chosen = this.sliders.chosen;
    stage.draw(this.shown, this.doubt && !this.layer ? doubted : [], chosen);
    element.step.textContent = now.step;
    element.return.textContent = now.total.toFixed(2).replace("-", "−");
    element.end.textContent = percent(now.end);
    element.doubt.textContent = percent(now.belief?.doubt ?? 0);
    element.doubt.classList.toggle("warn", (now.belief?.doubt ?? 0) > 0.5);
    element.message.textContent = this.message;
    element.message.hidden = !this.message;
    element["layer-chip"].hidden = !this.layer;
    element["layer-chip"].textContent = { background: "background: z̄", content: "content: A(z)", motion: "motion: B(u)" }[this.layer];
    element["zoom-chip"].hidden = stage.viewpoint.zoom === 1;
    element["zoom-chip"].textContent = `×${rounded(stage.viewpoint.zoom)}, a real pixel is ${rounded(stage.magnification)} wide`;
    element["latent-where"].textContent = chosen ? ", the one that you chose" : ", the one that moved most";
    const on = { agent: this.driving === "agent", control: this.driving === "control", pause: this.paused, doubt: this.doubt };
    for (const each of ["", ...LAYERS]) on[each || "everything"] = this.layer === each;
    for (const button of document.querySelectorAll("[data-command]"))
      if (button.dataset.command in on) button.setAttribute("aria-pressed", on[button.dataset.command]);
  }

  #loop(time) {
    requestAnimationFrame((next) => this.#loop(next));
    if (this.driving && !this.paused && time >= this.nextStep) {
      this.nextStep = time + 1000 / PACE;
      this.#drive();
    }
    if (!this.dirty) return;
    this.dirty = false;
    this.#draw();
  }

  /** One step of whoever drives; an episode that has ended is shown for a while, then another begins. */
  #drive() {
    const { session } = this;
    if (session.now.ended) return this.begin(session.level, session.kind);
    if (this.driving === "agent") session.agent();
    else session.goOn();
    if (session.now.ended) this.nextStep += 700;
    this.#flash(session.now.action);
    this.moved();
  }

  /** A step by hand, unless the episode has ended. */
  #person(step) {
    if (this.session.now.ended) return this.say("The episode has ended. Enter or New begins another, ⌫ goes back");
    this.driving = "";
    this.message = "";
    step();
    this.moved();
  }

  act(action) {
    this.#person(() => this.session.act(action));
    this.#flash(action);
  }

  #flash(action) {
    const button = this.buttons?.[action];
    if (!button) return;
    button.classList.add("down");
    clearTimeout(button.up);
    button.up = setTimeout(() => button.classList.remove("down"), 110);
  }

  #tap(cell) {
    const { chosen } = this.sliders;
    const again = chosen && chosen.row === cell.row && chosen.col === cell.col;
    this.sliders.chosen = again || !this.element.latent.open ? null : cell;
    this.sliders.show(this.session.now);
    this.show();
  }

  command(name) {
    const { session, stage } = this;
    if (name === "everything") this.layer = "";
    else if (LAYERS.includes(name)) this.layer = this.layer === name ? "" : name;
    else if (name === "reset") this.begin(session.level, session.kind);
    else if (name === "rewind") this.#rewind(session.at - 1);
    else if (name === "pause") this.paused = !this.paused;
    else if (name === "step" && this.paused && this.driving) this.#drive();
    else if (name === "agent" || name === "control") this.#letDrive(name);
    else if (name === "doubt") this.doubt = !this.doubt;
    else if (name === "help") this.element.help.open = !this.element.help.open;
    else if (name === "closer") stage.viewpoint.enlarge(1.5);
    else if (name === "farther") stage.viewpoint.enlarge(1 / 1.5);
    else if (name === "whole") stage.viewpoint.reset();
    this.show();
  }

  #rewind(at) {
    if (this.driving) this.paused = true;
    this.message = "";
    this.session.rewind(at);
    this.moved();
  }

  #letDrive(name) {
    if (!{ agent: this.session.policy, control: this.session.model.control }[name]) return;
    this.driving = this.driving === name ? "" : name;
    this.paused = false;
    this.message = "";
  }

  #actions() {
    const { session, element } = this;
    const { config, card } = session.card;
    this.codes = [];
    if (session.discrete) {
      this.codes = actionKeys(card.action_names, config.actions);
      this.buttons = actionButtons(element.actions, card, config.actions, (action) => this.act(action));
    } else if (session.acts) {
      this.continuous = actionSliders(element.actions, config.actions, (action) => this.act(action));
    }
    const has = { agent: session.policy, control: session.model.control };
    for (const [name, part] of Object.entries(has))
      document.querySelector(`[data-command=${name}]`).hidden = !part;
    document.querySelector("[data-command=pause]").hidden = !session.policy && !session.model.control;
    for (const each of document.querySelectorAll(".acts")) each.hidden = !session.acts;
    for (const each of document.querySelectorAll(".many")) each.hidden = session.model.single;
    for (const each of document.querySelectorAll(".doubts")) each.hidden = !session.model.doubt;
  }

  #text() {
    const { element, session } = this;
    const { name, config, card, tensors, "made with": version } = session.card;
    document.title = `A dream of ${name}`;
    element.name.textContent = name;
    const networks = session.model.single
      ? "a tiny network, and every pixel of your screen evaluates it"
      : "tiny networks, one a cell, and every pixel of your screen evaluates one";
    element.about.textContent = `${card.env_id ? "No game runs behind this picture" : "No video plays here"}. Its state is the weights of ${networks}.`;
    const numbers = Object.entries(tensors).filter(([key]) => !/^(starts|policy)\./.test(key));
    const count = numbers.reduce((sum, [, { shape }]) => sum + shape.reduce((a, b) => a * b, 1), 0);
    const bytes = element["numbers-of-the-dream"].textContent.length * 0.75; // of base64
    element.footer.append(
      made("b", {}, `${count.toLocaleString("en")} numbers`),
      ` are the whole dream, ${Math.round(bytes / 1024).toLocaleString("en")} KB with its starts; ${config.rank + config.memory} numbers a cell are its state. ` +
        `${card.env_id ? `It dreams of ${card.env_id}, and learned from recorded frames` : "It learned from video alone"}. No server, no network. Made with ${version}.`,
    );
    element.keys.append(...help(session, this.codes));
  }

  #menus() {
    const { session, element } = this;
    const names = session.levels.map(({ name }) => name.replace(/-v\d+$/, ""));
    const family = names[0].slice(0, names[0].indexOf("-") + 1);
    const shared = names.length > 1 && names.every((name) => name.startsWith(family)) ? family.length : 0;
    element.level.append(
      ...session.levels.map(({ cells }, i) => made("option", { value: i }, `${names[i].slice(shared)} · ${cells[1]} × ${cells[0]}`)),
    );
    element.level.parentElement.hidden = session.levels.length < 2;
    const kinds = () => {
      const { starts } = session.levels[Number(element.level.value)];
      const words = { official: "as in reality", random: "anywhere", recorded: "from the recording", clips: "from a clip" };
      element.kind.replaceChildren(...starts.map(({ kind }, i) => made("option", { value: i }, words[kind] ?? kind)));
      element.kind.parentElement.hidden = starts.length < 2;
      element.where.hidden = session.levels.length < 2 && starts.length < 2;
    };
    kinds();
    element.level.addEventListener("change", () => {
      kinds();
      this.begin(Number(element.level.value), 0);
      element.level.blur(); // so that arrow keys act again
    });
    element.kind.addEventListener("change", () => {
      this.begin(session.level, Number(element.kind.value));
      element.kind.blur();
    });
  }

  #listen() {
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest("select, input") && event.target.id !== "time") return;
      const action = this.codes.indexOf(event.code);
      const command = COMMAND_KEYS[event.code];
      const onButton = event.target.closest("button, summary") && (event.code === "Space" || event.code === "Enter");
      const { act, nudge } = this.continuous ?? {};
      const moves = act && { ArrowUp: act, ArrowLeft: () => nudge(-0.1), ArrowRight: () => nudge(0.1) };
      if (onButton || (action < 0 && !command && !moves?.[event.code])) return;
      event.preventDefault();
      if (action >= 0) this.act(action);
      else if (command && !(event.repeat && command !== "rewind")) this.command(command);
      else if (!command) moves[event.code]();
    });
    for (const button of document.querySelectorAll("[data-command]"))
      button.addEventListener("click", () => this.command(button.dataset.command));
    document.addEventListener("click", (event) => event.target.closest("button")?.blur()); // keys go to the dream
    this.element["zoom-chip"].addEventListener("click", () => this.command("whole"));
    this.element.time.addEventListener("input", () => this.#rewind(Number(this.element.time.value)));
    addEventListener("resize", () => this.#fitStage());
  }

  /** Makes the picture as large as fits on the screen, and its cells whole pixels: those that are alike are drawn once. */
  #fitStage() {
    const { ratio, cells } = this.stage;
    const beside = innerWidth > 760;
    const height = beside ? Math.max(innerHeight - 286, 320) : Math.max(innerHeight - 430, 240);
    const side = Math.min(height * ratio, beside ? innerWidth * 0.6 : this.element.stage.clientWidth);
    const unit = cells[1] / devicePixelRatio;
    document.documentElement.style.setProperty("--side", `${Math.max(1, Math.floor(side / unit)) * unit}px`);
  }
}

const percent = (share) => `${Math.round(share * 100)} %`;
const rounded = (number) => (number < 10 ? number.toFixed(1) : Math.round(number).toLocaleString("en"));

const text = (id) => document.getElementById(id).textContent;
try {
  window.nova = new Page(readDream(JSON.parse(text("card")), text("numbers-of-the-dream")));
} catch (error) {
  document.getElementById("message").textContent = `This dream cannot be shown: ${error.message}`;
  document.getElementById("message").hidden = false;
  throw error;
}
