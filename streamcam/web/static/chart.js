// Probabilities of the most probable classes in the last minute.

const SECONDS = 60;
const LINES = 4;
const COLORS = 8;
const GAP = 1500; // ms without a value that are not drawn over

/** A class keeps its colour, on all charts. */
const colors = new Map();

function colorOf(label, shown) {
  if (!colors.has(label)) {
    const taken = new Set(shown.map((other) => colors.get(other)));
    const next = colors.size % COLORS;
    const order = [...Array(COLORS).keys()].map((step) => (next + step) % COLORS);
    colors.set(label, order.find((colour) => !taken.has(colour)) ?? next);
  }
  return colors.get(label);
}

export class Chart {
  constructor(canvas, legend, name) {
    this.canvas = canvas;
    this.legend = legend;
    this.name = name;
    this.values = []; // {at, shares: Map of label to probability, or null for a gap}
  }

  add(top) {
    this.values.push({ at: Date.now(), shares: new Map(top.map((one) => [one.label, one.probability])) });
  }

  gap() {
    if (this.values.at(-1)?.shares) this.values.push({ at: Date.now(), shares: null });
  }

  /** Labels that had the largest share lately, the largest first, and the one that has it now. */
  shown() {
    const sums = new Map();
    for (const { shares } of this.values) {
      for (const [label, share] of shares ?? []) sums.set(label, (sums.get(label) ?? 0) + share);
    }
    const labels = [...sums].sort((a, b) => b[1] - a[1]).map(([label]) => label);
    const [best] = this.values.at(-1)?.shares?.keys() ?? [];
    const most = labels.slice(0, LINES);
    return best === undefined || most.includes(best) ? most : [...most.slice(0, LINES - 1), best];
  }

  draw() {
    const now = Date.now();
    while (this.values.length && this.values[0].at < now - (SECONDS + 1) * 1000) this.values.shift();
    const labels = this.shown();
    this.tell(labels);
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    const ratio = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio)) this.canvas.width = Math.round(width * ratio);
    if (this.canvas.height !== Math.round(height * ratio)) this.canvas.height = Math.round(height * ratio);
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.canvas);
    const area = { left: 38, right: width - 4, top: 7, bottom: height - 18 };
    this.drawGrid(pen, style, area);
    const x = (at) => area.right - ((now - at) / 1000 / SECONDS) * (area.right - area.left);
    const y = (share) => area.bottom - share * (area.bottom - area.top);
    pen.save();
    pen.beginPath();
    pen.rect(area.left, 0, area.right - area.left + 4, height);
    pen.clip();
    pen.lineWidth = 2;
    pen.lineJoin = pen.lineCap = "round";
    for (const label of labels.toReversed()) {
      pen.strokeStyle = style.getPropertyValue(`--c${colorOf(label, labels)}`);
      pen.beginPath();
      let before;
      for (const { at, shares } of this.values) {
        const share = shares?.get(label);
        if (share === undefined) {
          before = undefined;
          continue;
        }
        if (before === undefined || at - before > GAP) pen.moveTo(x(at), y(share));
        pen.lineTo(x(at), y(share));
        before = at;
      }
      pen.stroke();
    }
    pen.restore();
  }

  drawGrid(pen, style, area) {
    pen.font = `11px ${style.fontFamily}`;
    pen.fillStyle = style.getPropertyValue("--quiet");
    pen.strokeStyle = style.getPropertyValue("--grid");
    pen.lineWidth = 1;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const share of [0, 0.5, 1]) {
      const height = Math.round(area.bottom - share * (area.bottom - area.top)) + 0.5;
      pen.beginPath();
      pen.moveTo(area.left, height);
      pen.lineTo(area.right, height);
      pen.stroke();
      pen.fillText(`${share * 100} %`, area.left - 5, height);
    }
    pen.textBaseline = "alphabetic";
    pen.textAlign = "left";
    pen.fillText(`${SECONDS} s ago`, area.left, area.bottom + 15);
    pen.textAlign = "right";
    pen.fillText("now", area.right, area.bottom + 15);
  }

  tell(labels) {
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
    const told = labels.map((label, at) => `${label} ${this.legend.children[at].lastElementChild.textContent}`);
    this.canvas.setAttribute("aria-label", `Probabilities in the last minute, camera ${this.name}: ${told.join(", ")}`);
  }
}
