// A camera's panel: its frames, the model's classes, and metrics.

import { fetchJson, sendJson, showError } from "./api.js";
import { Chart } from "./chart.js";
import { WebRtcPlayer } from "./webrtc.js";

const BADGES = {
  opening: "Connecting", live: "Live", stalled: "No new frames", lost: "Reconnecting", paused: "Paused", ended: "Ended",
  unknown: "No connection",
};
const STALE_STATES = ["opening", "stalled", "lost", "ended", "unknown"];
const WEBRTC_RETRY = 30_000; // ms between attempts

/** Concurrent requests for single frames, used if there are more cameras than streams. */
const slots = { free: 3, waiting: [] };

async function acquireSlot() {
  if (slots.free > 0) slots.free -= 1;
  else await new Promise((resolve) => slots.waiting.push(resolve));
}

function releaseSlot() {
  const next = slots.waiting.shift();
  if (next) next();
  else slots.free += 1;
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Camera {
  constructor(name, streamed, webrtc) {
    this.name = name;
    this.path = `api/cameras/${encodeURIComponent(name)}`;
    this.streamed = streamed;
    this.webrtc = webrtc;
    this.state = "opening";
    this.since = undefined; // time at which the state left "live", if known
    this.session = 0; // counts starts, so that an old loop ends
    const content = document.getElementById("camera").content.cloneNode(true);
    this.element = content.firstElementChild;
    this.element.dataset.camera = name;
    this.find(".name").textContent = name;
    this.element.setAttribute("aria-label", `Camera ${name}`);
    this.image = this.find("img");
    this.image.alt = `Camera ${name}: heatmap of the model`;
    this.image.addEventListener("load", () => this.showImage());
    this.image.addEventListener("error", () => this.retryImages());
    this.video = this.find("video");
    this.video.setAttribute("aria-label", this.image.alt);
    this.video.addEventListener("loadeddata", () => this.showVideo());
    this.chart = new Chart(this.find("canvas"), this.find(".legend"), this.find(".span"), name);
    this.find(".pause").addEventListener("click", () => this.pause());
    this.find(".snapshot").addEventListener("click", () => this.snapshot());
    const fullscreen = this.find(".fullscreen");
    fullscreen.hidden = !document.fullscreenEnabled;
    fullscreen.addEventListener("click", () => this.find(".view").requestFullscreen());
    fullscreen.setAttribute("aria-label", `Full screen, camera ${name}`);
    this.find(".snapshot").setAttribute("aria-label", `Snapshot, camera ${name}`);
    this.visible = true;
    new IntersectionObserver(([entry]) => { this.visible = entry.isIntersecting; }).observe(this.element);
    this.start();
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  /** Start or restart the display. */
  start() {
    this.stop();
    if (document.hidden) return;
    this.loadHistory();
    // Show images until video plays, or if it never does.
    this.startImages();
    if (this.webrtc) this.startVideo();
  }

  /** Fill the chart with what happened before, or while the page was hidden or disconnected. */
  async loadHistory() {
    try {
      this.chart.load(await fetchJson(`${this.path}/history`));
    } catch {
      // The chart starts now.
    }
  }

  startVideo() {
    this.player = new WebRtcPlayer(this.path, this.video, () => this.onVideoFailed());
  }

  startImages() {
    if (this.streamed) this.image.src = `cameras/${encodeURIComponent(this.name)}/stream.mjpg?${this.session}`;
    else this.pollFrames(this.session);
  }

  /** Stop the display, so that the server encodes no frames for it. */
  stop() {
    clearTimeout(this.retryTimer);
    this.stopImages();
    this.stopVideo();
  }

  stopImages() {
    this.session += 1;
    this.fetching?.abort();
    this.image.removeAttribute("src");
    this.image.hidden = true;
  }

  stopVideo() {
    this.player?.stop();
    this.player = undefined;
    this.video.srcObject = null;
    this.video.hidden = true;
  }

  showImage() {
    if (!this.image.hasAttribute("src")) return;
    this.image.hidden = false;
    if (!this.video.hidden) this.stopVideo();
  }

  showVideo() {
    this.video.hidden = false;
    this.stopImages();
  }

  /** Go back to images; the last video frame stays until the first one. */
  onVideoFailed() {
    this.player = undefined;
    if (!this.video.hidden) this.startImages();
    this.retryTimer = setTimeout(() => this.startVideo(), WEBRTC_RETRY);
  }

  async retryImages() {
    if (!this.streamed || !this.image.hasAttribute("src")) return;
    this.stopImages();
    const session = this.session;
    await sleep(1000);
    if (session === this.session) this.startImages();
  }

  /** Fetch one frame after another, in turn with other cameras. */
  async pollFrames(session) {
    let last = "";
    while (session === this.session) {
      if (!this.visible || (last && this.state !== "live")) {
        await sleep(500);
        continue;
      }
      await acquireSlot();
      try {
        this.fetching = new AbortController();
        const path = `cameras/${encodeURIComponent(this.name)}/frame.jpg`;
        const response = session === this.session && (await fetch(path, { signal: this.fetching.signal }));
        if (response && response.ok) {
          const next = URL.createObjectURL(await response.blob());
          this.image.src = next;
          await this.image.decode().catch(() => {});
          URL.revokeObjectURL(last);
          last = next;
        } else {
          await sleep(1000);
        }
      } catch {
        await sleep(1000);
      } finally {
        releaseSlot();
      }
    }
    URL.revokeObjectURL(last);
  }

  /** Show that the server does not respond. */
  showDisconnected() {
    this.showState("unknown", "");
    this.chart.gap();
  }

  show(status) {
    const state = status.state === "live" && status.stalled ? "stalled" : status.state;
    this.showState(state, status.last_error);
    if (status.width && status.height) this.find(".frame").style.aspectRatio = `${status.width} / ${status.height}`;
    const [best] = status.top;
    this.find(".label").textContent = best ? best.label : "–";
    this.find(".share").textContent = best ? percent(best.probability) : "";
    this.find(".targets").textContent = targetText(status.targets, best);
    this.find(".source").textContent = status.source;
    this.find(".source").title = status.source;
    const metrics = {
      fps: `${status.fps.toFixed(1)} fps`,
      explained: `${status.explained_fps.toFixed(1)} fps`,
      p50: ms(status.latency.p50),
      p99: ms(status.latency.p99),
      from: status.latency_source,
      map: status.map_latency_ms === null ? "–" : ms(status.map_latency_ms),
      dropped: status.frames_dropped.toLocaleString("en"),
      reconnects: status.reconnects.toLocaleString("en"),
      size: status.width ? `${status.width}×${status.height}` : "–",
      by: this.player && !this.video.hidden ? "WebRTC" : "MJPEG",
    };
    for (const [name, text] of Object.entries(metrics)) this.find(`[data-metric=${name}]`).textContent = text;
    if (state === "live") this.chart.add(status.top);
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
    const stale = STALE_STATES.includes(state) && !(this.image.hidden && this.video.hidden) ? "Last frame" : "";
    const since = stale && this.since ? `${stale}, ${Math.round((Date.now() - this.since) / 1000)} s old` : stale;
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
    await this.attempt(async () => {
      this.show(await sendJson("PATCH", this.path, { paused: this.state !== "paused" }));
    });
  }

  async snapshot() {
    const button = this.find(".snapshot");
    button.disabled = true;
    await this.attempt(async () => {
      const snapshot = await sendJson("POST", `${this.path}/snapshots`);
      const dialog = document.getElementById("snapshot");
      const path = `api/snapshots/${encodeURIComponent(snapshot.id)}`;
      dialog.querySelector("h2").textContent = `Camera ${this.name}`;
      dialog.querySelector("img").src = `${path}.png`;
      for (const [kind, suffix] of [["image", "png"], ["map", "npy"]]) {
        const link = dialog.querySelector(`.${kind}`);
        link.hidden = snapshot[kind] === null;
        link.href = `${path}.${suffix}`;
        link.download = `${snapshot.id}.${suffix}`;
      }
      dialog.showModal();
    });
    button.disabled = false;
    button.focus();
  }

  async attempt(action) {
    try {
      await action();
    } catch (error) {
      showError(error.status ? error.message : "Not done: no connection to the server.");
    }
  }
}

function percent(share) {
  return `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

function ms(value) {
  return value < 10_000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(0)} s`;
}

/** Return the explained targets, unless that is just the most probable class. */
function targetText(targets, best) {
  if (!targets.length || (targets.length === 1 && targets[0].label === best?.label)) return "";
  const one = ({ label, score, probability }) =>
    `${label} ${probability === null ? `(score ${score.toFixed(1)})` : percent(probability)}`;
  return `Explained: ${targets.map(one).join(", ")}`;
}
