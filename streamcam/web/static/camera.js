// A camera's card: its picture, what the model sees in it, and how it fares.

import { problem, send } from "./api.js";
import { Chart } from "./chart.js";
import { Peer } from "./webrtc.js";

const BADGES = {
  opening: "Connecting", live: "Live", stalled: "No new frames", lost: "Reconnecting", paused: "Paused", ended: "Ended",
  unknown: "No connection",
};
const OLD = ["opening", "stalled", "lost", "ended", "unknown"];
const AGAIN = 30_000; // ms until WebRTC is tried again where it failed

/** How many pictures may be fetched at a time where there are more cameras than streams. */
const slots = { free: 3, waiting: [] };

async function slot() {
  if (slots.free > 0) slots.free -= 1;
  else await new Promise((resolve) => slots.waiting.push(resolve));
}

function leaveSlot() {
  const next = slots.waiting.shift();
  if (next) next();
  else slots.free += 1;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Camera {
  constructor(name, streamed, webrtc) {
    this.name = name;
    this.path = `/api/cameras/${encodeURIComponent(name)}`;
    this.streamed = streamed;
    this.webrtc = webrtc;
    this.state = "opening";
    this.since = undefined; // when the state left "live", if this page saw it
    this.turn = 0; // counts what was begun to be watched
    const content = document.getElementById("camera").content.cloneNode(true);
    this.element = content.firstElementChild;
    this.element.dataset.camera = name;
    this.find(".name").textContent = name;
    this.element.setAttribute("aria-label", `Camera ${name}`);
    this.image = this.find("img");
    this.image.alt = `Camera ${name}: where the model looks`;
    this.image.addEventListener("load", () => this.showImage());
    this.image.addEventListener("error", () => this.again());
    this.video = this.find("video");
    this.video.setAttribute("aria-label", this.image.alt);
    this.video.addEventListener("loadeddata", () => this.showVideo());
    this.chart = new Chart(this.find("canvas"), this.find(".legend"), name);
    this.find(".pause").addEventListener("click", () => this.pause());
    this.find(".snapshot").addEventListener("click", () => this.snapshot());
    const fullscreen = this.find(".fullscreen");
    fullscreen.hidden = !document.fullscreenEnabled;
    fullscreen.addEventListener("click", () => this.find(".view").requestFullscreen());
    fullscreen.setAttribute("aria-label", `Full screen, camera ${name}`);
    this.find(".snapshot").setAttribute("aria-label", `Snapshot, camera ${name}`);
    this.seen = true;
    new IntersectionObserver(([entry]) => { this.seen = entry.isIntersecting; }).observe(this.element);
    this.watch();
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  /** Begins to fetch pictures, anew where it did already. */
  watch() {
    this.leave();
    if (document.hidden) return;
    // Images until there is video, and where none comes.
    this.fetchImages();
    if (this.webrtc) this.call();
  }

  call() {
    this.peer = new Peer(this.path, this.video, () => this.broken());
  }

  fetchImages() {
    if (this.streamed) this.image.src = `/cameras/${encodeURIComponent(this.name)}/stream.mjpg?${this.turn}`;
    else this.fetchStills(this.turn);
  }

  /** Stops: a picture that nobody looks at need not be made. */
  leave() {
    clearTimeout(this.calling);
    this.leaveImages();
    this.leaveVideo();
  }

  leaveImages() {
    this.turn += 1;
    this.fetching?.abort();
    this.image.removeAttribute("src");
    this.image.hidden = true;
  }

  leaveVideo() {
    this.peer?.leave();
    this.peer = undefined;
    this.video.srcObject = null;
    this.video.hidden = true;
  }

  showImage() {
    if (!this.image.hasAttribute("src")) return;
    this.image.hidden = false;
    if (!this.video.hidden) this.leaveVideo();
  }

  showVideo() {
    this.video.hidden = false;
    this.leaveImages();
  }

  /** There is no video any more: what it showed last stands until there is an image. */
  broken() {
    this.peer = undefined;
    if (!this.video.hidden) this.fetchImages();
    this.calling = setTimeout(() => this.call(), AGAIN);
  }

  async again() {
    if (!this.streamed || !this.image.hasAttribute("src")) return;
    this.leaveImages();
    const turn = this.turn;
    await pause(1000);
    if (turn === this.turn) this.fetchImages();
  }

  /** One picture after the other, each in turn with those of other cameras. */
  async fetchStills(turn) {
    let last = "";
    while (turn === this.turn) {
      if (!this.seen || (last && this.state !== "live")) {
        await pause(500);
        continue;
      }
      await slot();
      try {
        this.fetching = new AbortController();
        const address = `/cameras/${encodeURIComponent(this.name)}/picture.jpg`;
        const answer = turn === this.turn && (await fetch(address, { signal: this.fetching.signal }));
        if (answer && answer.ok) {
          const next = URL.createObjectURL(await answer.blob());
          this.image.src = next;
          await this.image.decode().catch(() => {});
          URL.revokeObjectURL(last);
          last = next;
        } else {
          await pause(1000);
        }
      } catch {
        await pause(1000);
      } finally {
        leaveSlot();
      }
    }
    URL.revokeObjectURL(last);
  }

  /** The page does not know how the camera is. */
  unknown() {
    this.showState("unknown", "");
    this.chart.gap();
  }

  show(status) {
    const live = status.state === "live" && status.frames_shown > 0 && status.fps === 0 ? "stalled" : status.state;
    this.showState(live, status.last_error);
    if (status.width && status.height) this.find(".view").style.aspectRatio = `${status.width} / ${status.height}`;
    const [best] = status.top;
    this.find(".label").textContent = best ? best.label : "–";
    this.find(".share").textContent = best ? percent(best.probability) : "";
    this.find(".targets").textContent = explained(status.targets, best);
    this.find(".source").textContent = status.source;
    this.find(".source").title = status.source;
    const metrics = {
      fps: `${status.fps.toFixed(1)} fps`,
      explained: `${status.explained_fps.toFixed(1)} fps`,
      p50: ms(status.latency.p50),
      p99: ms(status.latency.p99),
      map: status.map_latency_ms === null ? "–" : ms(status.map_latency_ms),
      dropped: status.frames_dropped.toLocaleString("en"),
      reconnects: status.reconnects.toLocaleString("en"),
      size: status.width ? `${status.width}×${status.height}` : "–",
      by: this.peer && !this.video.hidden ? "WebRTC" : "MJPEG",
    };
    for (const [name, text] of Object.entries(metrics)) this.find(`[data-metric=${name}]`).textContent = text;
    if (live === "live") this.chart.add(status.top);
    else this.chart.gap();
    this.chart.draw();
  }

  showState(state, lastError) {
    if (state === "live") this.since = undefined;
    else if (this.state === "live") this.since = Date.now();
    this.state = state;
    this.element.dataset.state = state;
    const badge = this.find(".badge");
    if (badge.textContent !== BADGES[state]) badge.textContent = BADGES[state];
    const old = OLD.includes(state) && !(this.image.hidden && this.video.hidden) ? "Last frame" : "";
    const since = old && this.since ? `${old}, ${Math.round((Date.now() - this.since) / 1000)} s old` : old;
    const line = [since, state === "live" ? "" : lastError].filter(Boolean).join(" · ");
    this.find(".stale").hidden = !line;
    this.find(".stale").textContent = line;
    this.find(".last-error").hidden = !(state === "live" && lastError);
    this.find(".last-error").textContent = lastError;
    const button = this.find(".pause");
    button.setAttribute("aria-pressed", state === "paused");
    button.textContent = state === "paused" ? "Resume" : "Pause";
    button.setAttribute("aria-label", `${button.textContent}, camera ${this.name}`);
    button.disabled = state === "ended";
  }

  async pause() {
    await this.try(async () => {
      this.show(await send("PATCH", this.path, { paused: this.state !== "paused" }));
    });
  }

  async snapshot() {
    const button = this.find(".snapshot");
    button.disabled = true;
    await this.try(async () => {
      const taken = await send("POST", `${this.path}/snapshots`);
      const dialog = document.getElementById("taken");
      dialog.querySelector("h2").textContent = `Camera ${this.name}`;
      dialog.querySelector("img").src = taken.image;
      for (const [kind, path] of [["image", taken.image], ["map", taken.map]]) {
        const link = dialog.querySelector(`.${kind}`);
        link.hidden = path === null;
        if (path === null) continue;
        link.href = path;
        link.download = path.split("/").at(-1);
      }
      dialog.showModal();
    });
    button.disabled = false;
    button.focus();
  }

  async try(work) {
    try {
      await work();
    } catch (error) {
      problem(error.status ? error.message : "Not done: no connection.");
    }
  }
}

function percent(share) {
  return `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

function ms(value) {
  return value < 10_000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(0)} s`;
}

/** What is explained, where that is not simply the most probable class. */
function explained(targets, best) {
  if (!targets.length || (targets.length === 1 && targets[0].label === best?.label)) return "";
  const one = ({ label, score, probability }) =>
    `${label} ${probability === null ? `(score ${score.toFixed(1)})` : percent(probability)}`;
  return `Explained: ${targets.map(one).join(", ")}`;
}
