// Settings form: shows the run's values, except in the control that is in use.

import { fetchJson, sendJson, showError } from "./api.js";

const COMPILED = ["method", "layer", "target"];

class Field {
  constructor(key, { read, write, event = "change" }) {
    this.key = key;
    this.element = document.getElementById(key);
    this.read = read;
    this.write = write;
    this.sending = false;
    this.dirty = false;
    this.pending = undefined;
    this.error = document.createElement("p");
    this.error.id = `${key}-error`;
    this.error.className = "field-error";
    this.error.setAttribute("role", "alert");
    this.element.closest(".field").append(this.error);
    this.element.addEventListener("input", () => { this.dirty = true; });
    this.element.addEventListener(event, () => this.send());
    this.element.addEventListener("blur", () => { this.dirty = false; });
    this.element.addEventListener("keydown", ({ key: pressed }) => { if (pressed === "Escape") this.reset(); });
  }

  /** Show the run's value, unless another one is being entered, sent, or was refused. */
  show(value) {
    this.current = value;
    if (!this.sending && !this.dirty && !this.invalid) this.write(this.element, value);
  }

  /** Drop what was entered. */
  reset() {
    if (this.sending || this.current === undefined) return;
    this.dirty = false;
    this.showError("");
    this.write(this.element, this.current);
  }

  /** Show why the value was refused; it stays, to be corrected. An empty line clears the error. */
  showError(line) {
    this.invalid = Boolean(line);
    this.error.textContent = line;
    this.element.setAttribute("aria-invalid", this.invalid);
    const described = (this.element.getAttribute("aria-describedby") ?? "").split(" ");
    const others = described.filter((id) => id && id !== this.error.id);
    this.element.setAttribute("aria-describedby", [...others, ...(line ? [this.error.id] : [])].join(" "));
  }

  /** Send one request at a time; of later choices, only the last follows. */
  async send() {
    this.pending = this.read(this.element);
    this.dirty = false;
    if (this.sending) return;
    this.sending = true;
    showError("");
    this.showError("");
    try {
      while (this.pending !== undefined) {
        const value = this.pending;
        this.pending = undefined;
        this.onSend(this.key, value);
        this.onChanged(await sendJson("PATCH", "api/settings", { [this.key]: value }));
      }
    } catch (error) {
      this.pending = undefined;
      if (error.status) this.showError(error.message);
      else showError("Not changed: no connection to the server.");
    }
    this.sending = false;
    this.onDone();
  }
}

export class Settings {
  constructor() {
    this.current = undefined; // values of the run
    this.since = 0; // responses to earlier requests are older than `current`
    this.compiling = new Map();
    this.labels = [];
    const value = (element) => element.value;
    this.fields = [
      new Field("method", { read: value, write: selectOption }),
      new Field("layer", { read: value, write: selectOption }),
      new Field("colormap", { read: value, write: selectOption }),
      new Field("target", { read: (element) => this.parseTargets(element.value), write: setTargets }),
      new Field("alpha", { event: "input", read: (element) => Number(element.value), write: (element, alpha) => {
        element.value = alpha;
        this.showAlpha();
      } }),
      new Field("caption_position", { read: value, write: selectOption }),
      new Field("caption", { read: (element) => element.checked, write: (element, on) => { element.checked = on; } }),
    ];
    for (const field of this.fields) {
      field.onSend = (key, value) => COMPILED.includes(key) && this.compiling.set(key, [value].flat().join(", "));
      field.onChanged = (settings) => {
        this.current = settings;
        this.since = performance.now();
      };
      field.onDone = () => {
        this.compiling.delete(field.key);
        field.show(this.current[field.key]);
        this.showActivity("");
      };
    }
    this.listen();
  }

  listen() {
    const target = document.getElementById("target");
    target.addEventListener("input", () => this.suggest(target.value));
    target.addEventListener("focus", () => this.suggest(target.value));
    document.getElementById("alpha").addEventListener("input", () => this.showAlpha());
    // Listing the layers takes seconds, so load them on demand.
    const layer = document.getElementById("layer");
    for (const event of ["pointerenter", "focus"]) layer.addEventListener(event, () => this.loadLayers(layer));
    document.getElementById("settings").addEventListener("submit", (event) => event.preventDefault());
    this.loadNames();
  }

  show(status, requestedAt) {
    if (requestedAt > this.since) {
      this.current = status.settings;
      for (const field of this.fields) field.show(this.current[field.key]);
    }
    this.showActivity(status.activity || (status.ready ? "" : "loading the model"));
    if (status.ready && !this.labels.length && !this.loadingLabels) this.loadLabels();
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
      for (const [key, path] of [["method", "api/methods"], ["colormap", "api/colormaps"]]) {
        setOptions(document.getElementById(key), await fetchJson(path));
      }
      for (const field of this.fields) if (this.current) field.show(this.current[field.key]);
    } catch {
      setTimeout(() => this.loadNames(), 2000);
    }
  }

  async loadLabels() {
    this.loadingLabels = true;
    this.labels = await fetchJson("api/labels").catch(() => []);
    this.loadingLabels = false;
  }

  async loadLayers(element) {
    if (this.layers || this.loadingLayers) return;
    this.loadingLayers = true;
    try {
      this.layers = await fetchJson("api/layers");
      setOptions(element, ["auto", ...this.layers]);
    } catch (error) {
      showError(error.status ? error.message : "No layers: no connection to the server.");
    }
    this.loadingLayers = false;
  }

  /** Split text into targets at its commas, except at commas inside a class name. */
  parseTargets(text) {
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

  /** Suggest names for the text after the last comma. */
  suggest(text) {
    const comma = text.lastIndexOf(",");
    const before = comma < 0 ? "" : `${text.slice(0, comma).trim()}, `;
    const prefix = text.slice(comma + 1).trim().toLowerCase();
    const names = ["top", ...this.labels].filter((label) => label.toLowerCase().includes(prefix)).slice(0, 100);
    document.getElementById("labels").replaceChildren(...names.map((name) => new Option(before + name)));
  }
}

function selectOption(element, value) {
  if (element.value === value) return;
  if (![...element.options].some((option) => option.value === value)) element.append(new Option(value, value));
  element.value = value;
}

function setTargets(element, targets) {
  const text = targets.join(", ");
  if (element.value !== text) element.value = text;
}

function setOptions(element, names) {
  const chosen = element.value;
  element.replaceChildren(...names.map((name) => new Option(name, name)));
  if (chosen) selectOption(element, chosen);
}
