// Line chart of the most probable classes over the last minute or ten.

const SPANS = [60, 600]; // s
const LINES = 4;
const COLORS = 8;
const GAP = 2500; // ms without a value that interrupt a line
const THIN_AFTER = 70_000; // ms; of older values, one a second is kept
const THIN_EVERY = 10_000; // ms
export const charts = new Set();
let seconds = SPANS[0]; // span of all charts

/** Color index of each class, the same on all charts. */
const colors = new Map();

function colorOf(label, labels) {
  if (!colors.has(label)) {
    const used = new Set(labels.map((other) => colors.get(other)));
    const next = colors.size % COLORS;
    const order = [...Array(COLORS).keys()].map((step) => (next + step) % COLORS);
    colors.set(label, order.find((color) => !used.has(color)) ?? next);
  }
  return colors.get(label);
}

export class Chart {
  constructor(canvas, legend, button, name) {
    this.canvas = canvas;
    this.legend = legend;
    this.button = button;
    this.name = name;
    this.values = []; // {at, shares: Map of label to probability, or null for a gap}
    this.thinnedAt = Date.now();
    charts.add(this);
    button.addEventListener("click", () => {
      seconds = SPANS[(SPANS.indexOf(seconds) + 1) % SPANS.length];
      for (const chart of charts) chart.draw();
    });
  }

  /** Take the server's samples; values since the last one stay. */
  load({ labels, samples }) {
    const now = Date.now();
    const loaded = samples.map(({ seconds_ago: age, classes, probabilities }) => ({
      at: now - age * 1000,
      shares: new Map(classes.map((one, n) => [labels[one], probabilities[n]])),
    }));
    const last = loaded.at(-1)?.at ?? -Infinity;
    this.values = [...loaded, ...this.values.filter(({ at }) => at > last)];
    this.draw();
  }

  /** Drop values that are too old or too many. */
  thin(now) {
    while (this.values.length && this.values[0].at < now - (SPANS.at(-1) + 1) * 1000) this.values.shift();
    if (now < this.thinnedAt + THIN_EVERY) return;
    this.thinnedAt = now;
    let kept = -Infinity;
    this.values = this.values.filter(({ at, shares }) => {
      if (shares && at < now - THIN_AFTER && at < kept + 900) return false;
      kept = at;
      return true;
    });
  }

  add(top) {
    this.values.push({ at: Date.now(), shares: new Map(top.map((one) => [one.label, one.probability])) });
  }

  gap() {
    if (this.values.at(-1)?.shares) this.values.push({ at: Date.now(), shares: null });
  }

  /** Return the labels with the largest sums, in descending order, and always the current best. */
  topLabels() {
    const sums = new Map();
    const begin = Date.now() - seconds * 1000;
    for (const { at, shares } of this.values) {
      if (at < begin) continue;
      for (const [label, share] of shares ?? []) sums.set(label, (sums.get(label) ?? 0) + share);
    }
    const labels = [...sums].sort((a, b) => b[1] - a[1]).map(([label]) => label);
    const [best] = this.values.at(-1)?.shares?.keys() ?? [];
    const most = labels.slice(0, LINES);
    return best === undefined || most.includes(best) ? most : [...most.slice(0, LINES - 1), best];
  }

  draw() {
    const now = Date.now();
    this.thin(now);
    const span = `${seconds / 60} min`;
    if (this.button.textContent !== span) this.button.textContent = span;
    this.button.setAttribute("aria-label", `Span of the charts: ${span}; camera ${this.name}`);
    const labels = this.topLabels();
    this.updateLegend(labels);
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    const ratio = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio)) this.canvas.width = Math.round(width * ratio);
    if (this.canvas.height !== Math.round(height * ratio)) this.canvas.height = Math.round(height * ratio);
    const context = this.canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.canvas);
    const area = { left: 38, right: width - 4, top: 7, bottom: height - 18 };
    this.drawGrid(context, style, area);
    const x = (at) => area.right - ((now - at) / 1000 / seconds) * (area.right - area.left);
    const y = (share) => area.bottom - share * (area.bottom - area.top);
    context.save();
    context.beginPath();
    context.rect(area.left, 0, area.right - area.left + 4, height);
    context.clip();
    context.lineWidth = 2;
    context.lineJoin = context.lineCap = "round";
    for (const label of labels.toReversed()) {
      context.strokeStyle = style.getPropertyValue(`--c${colorOf(label, labels)}`);
      context.beginPath();
      let before;
      for (const { at, shares } of this.values) {
        if (at < now - (seconds + 2) * 1000) continue;
        const share = shares?.get(label);
        if (share === undefined) {
          before = undefined;
          continue;
        }
        if (before === undefined || at - before > GAP) context.moveTo(x(at), y(share));
        context.lineTo(x(at), y(share));
        before = at;
      }
      context.stroke();
    }
    context.restore();
  }

  drawGrid(context, style, area) {
    context.font = `11px ${style.fontFamily}`;
    context.fillStyle = style.getPropertyValue("--quiet");
    context.strokeStyle = style.getPropertyValue("--grid");
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const share of [0, 0.5, 1]) {
      const height = Math.round(area.bottom - share * (area.bottom - area.top)) + 0.5;
      context.beginPath();
      context.moveTo(area.left, height);
      context.lineTo(area.right, height);
      context.stroke();
      context.fillText(`${share * 100} %`, area.left - 5, height);
    }
    context.textBaseline = "alphabetic";
    context.textAlign = "left";
    context.fillText(`${seconds / 60} min ago`, area.left, area.bottom + 15);
    context.textAlign = "right";
    context.fillText("now", area.right, area.bottom + 15);
  }

  updateLegend(labels) {
    const last = this.values.at(-1)?.shares;
    while (this.legend.children.length > labels.length) this.legend.lastElementChild.remove();
    while (this.legend.children.length < labels.length) {
      const item = document.createElement("li");
      item.append(document.createElement("i"), document.createElement("span"), document.createElement("span"));
      item.lastElementChild.className = "of";
      this.legend.append(item);
    }
    labels.forEach((label, at) => {
      const [swatch, name, share] = this.legend.children[at].children;
      swatch.style.setProperty("--color", `var(--c${colorOf(label, labels)})`);
      name.textContent = label;
      share.textContent = last?.has(label) ? `${Math.round(last.get(label) * 100)} %` : "";
    });
    const texts = labels.map((label, at) => `${label} ${this.legend.children[at].lastElementChild.textContent}`);
    this.canvas.setAttribute("aria-label", `Probabilities in the last ${seconds / 60} min, camera ${this.name}: ${texts.join(", ")}`);
  }
}
