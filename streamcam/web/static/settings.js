// Settings: what is shown is what the run has, but for the control that is being used.

import { ask, problem, send } from "./api.js";

const COMPILED = ["method", "layer", "target"];

class Field {
  constructor(key, { read, write, acts = "change" }) {
    this.key = key;
    this.element = document.getElementById(key);
    this.read = read;
    this.write = write;
    this.sending = false;
    this.dirty = false;
    this.wanted = undefined;
    this.element.addEventListener("input", () => { this.dirty = true; });
    this.element.addEventListener(acts, () => this.send());
    this.element.addEventListener("blur", () => { this.dirty = false; });
  }

  show(value) {
    if (!this.sending && !this.dirty) this.write(this.element, value);
  }

  /** One request at a time; what is chosen meanwhile follows, only the last of it. */
  async send() {
    this.wanted = this.read(this.element);
    this.dirty = false;
    if (this.sending) return;
    this.sending = true;
    problem("");
    try {
      while (this.wanted !== undefined) {
        const value = this.wanted;
        this.wanted = undefined;
        this.changing(this.key, value);
        this.changed(await send("PATCH", "/api/settings", { [this.key]: value }));
      }
    } catch (error) {
      this.wanted = undefined;
      problem(error.status ? error.message : "Not changed: no connection.");
    }
    this.sending = false;
    this.done();
  }
}

export class Settings {
  constructor() {
    this.now = undefined; // as the run has them
    this.since = 0; // answers to questions asked before this moment are older than `now`
    this.compiling = new Map();
    this.labels = [];
    const value = (element) => element.value;
    this.fields = [
      new Field("method", { read: value, write: choose }),
      new Field("layer", { read: value, write: choose }),
      new Field("colormap", { read: value, write: choose }),
      new Field("target", { read: (element) => this.targets(element.value), write: fill }),
      new Field("alpha", { acts: "input", read: (element) => Number(element.value), write: (element, alpha) => {
        element.value = alpha;
        this.showAlpha();
      } }),
      new Field("caption", { read: (element) => element.checked, write: (element, on) => { element.checked = on; } }),
    ];
    for (const field of this.fields) {
      field.changing = (key, wanted) => COMPILED.includes(key) && this.compiling.set(key, [wanted].flat().join(", "));
      field.changed = (settings) => {
        this.now = settings;
        this.since = performance.now();
      };
      field.done = () => {
        this.compiling.delete(field.key);
        field.show(this.now[field.key]);
        this.showActivity("");
      };
    }
    this.listen();
  }

  listen() {
    const target = document.getElementById("target");
    target.addEventListener("input", () => this.suggest(target.value));
    target.addEventListener("focus", () => this.suggest(target.value));
    target.addEventListener("keydown", (event) => {
      const field = this.fields.find((one) => one.key === "target");
      if (event.key !== "Escape" || field.sending) return;
      field.dirty = false;
      field.show(this.now.target);
    });
    document.getElementById("alpha").addEventListener("input", () => this.showAlpha());
    // Finding the layers takes seconds, so it is done for those who want them.
    const layer = document.getElementById("layer");
    for (const event of ["pointerenter", "focus"]) layer.addEventListener(event, () => this.loadLayers(layer));
    document.getElementById("settings").addEventListener("submit", (event) => event.preventDefault());
    this.loadNames();
  }

  show(status, asked) {
    if (asked > this.since) {
      this.now = status.settings;
      for (const field of this.fields) field.show(this.now[field.key]);
    }
    this.showActivity(status.activity || (status.ready ? "" : "loading the model"));
    if (status.ready && !this.labels.length && !this.asking) this.loadLabels();
  }

  showActivity(line) {
    const own = [...this.compiling.values()].at(-1);
    const activity = line || (own ? `compiling ${own}` : "");
    const element = document.getElementById("activity");
    const text = activity && `${activity}…`;
    if (element.textContent !== text) element.textContent = text;
  }

  showAlpha() {
    const percent = Math.round(document.getElementById("alpha").value * 100);
    document.getElementById("alpha-value").textContent = `${percent} %`;
  }

  async loadNames() {
    try {
      for (const [key, path] of [["method", "/api/methods"], ["colormap", "/api/colormaps"]]) {
        offer(document.getElementById(key), await ask(path));
      }
      for (const field of this.fields) if (this.now) field.show(this.now[field.key]);
    } catch {
      setTimeout(() => this.loadNames(), 2000);
    }
  }

  async loadLabels() {
    this.asking = true;
    this.labels = await ask("/api/labels").catch(() => []);
    this.asking = false;
  }

  async loadLayers(element) {
    if (this.layers || this.layersAsked) return;
    this.layersAsked = true;
    try {
      this.layers = await ask("/api/layers");
      offer(element, ["auto", ...this.layers]);
    } catch (error) {
      problem(error.status ? error.message : "No layers: no connection.");
    }
    this.layersAsked = false;
  }

  /** What a line of text names: parts between commas, but for commas inside a class's name. */
  targets(text) {
    const parts = text.split(",").map((part) => part.trim()).filter(Boolean);
    const known = new Set(this.labels.map((label) => label.toLowerCase()));
    const found = [];
    for (let at = 0; at < parts.length;) {
      let end = parts.length;
      while (end > at + 1 && !known.has(parts.slice(at, end).join(", ").toLowerCase())) end -= 1;
      found.push(parts.slice(at, end).join(", "));
      at = end;
    }
    return found.length ? found : ["top"];
  }

  /** Offers names for what follows the last comma. */
  suggest(text) {
    const comma = text.lastIndexOf(",");
    const before = comma < 0 ? "" : `${text.slice(0, comma).trim()}, `;
    const begun = text.slice(comma + 1).trim().toLowerCase();
    const names = ["top", ...this.labels].filter((label) => label.toLowerCase().includes(begun)).slice(0, 100);
    document.getElementById("labels").replaceChildren(...names.map((name) => new Option(before + name)));
  }
}

function choose(element, value) {
  if (element.value === value) return;
  if (![...element.options].some((option) => option.value === value)) element.append(new Option(value, value));
  element.value = value;
}

function fill(element, targets) {
  const text = targets.join(", ");
  if (element.value !== text) element.value = text;
}

function offer(element, names) {
  const chosen = element.value;
  element.replaceChildren(...names.map((name) => new Option(name, name)));
  if (chosen) choose(element, chosen);
}
