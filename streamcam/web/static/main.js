// The page: polls the status four times a second and updates cameras, settings and outputs.

import { fetchJson, showError } from "./api.js";
import { Camera } from "./camera.js";
import { Settings } from "./settings.js";

const POLL_INTERVAL = 250; // ms
const MAX_STREAMS = 4; // a browser opens six connections to a host; two remain for other requests

const byId = (id) => document.getElementById(id);
const cameras = new Map();
const settings = new Settings();
let reachable = true;
let wake = () => {};

function show(status, requestedAt) {
  settings.show(status, requestedAt);
  byId("model").textContent = status.ready
    ? [status.model, status.layer, status.precision, status.device].filter(Boolean).join(" · ")
    : "";
  byId("uptime").textContent = `Running for ${duration(status.seconds)}`;
  const main = byId("cameras");
  if (cameras.size === 0) main.replaceChildren();
  const streamed = status.cameras.length <= MAX_STREAMS;
  for (const state of status.cameras) {
    if (!cameras.has(state.name)) {
      const camera = new Camera(state.name, streamed, status.webrtc);
      cameras.set(state.name, camera);
      main.append(camera.element);
    }
    cameras.get(state.name).show(state);
  }
  main.dataset.count = status.cameras.length;
  showOutputs(status.outputs);
}

function showOutputs(outputs) {
  byId("outputs").hidden = outputs.length === 0;
  const rows = outputs.map((output) => {
    const row = document.createElement("tr");
    const state = output.last_error ? `${output.state}: ${output.last_error}` : output.state;
    for (const [value, kind] of [[output.camera], [output.url, "text"], [state, "text"], [output.frames],
      [output.dropped], [output.restarts]]) {
      const cell = row.insertCell();
      cell.textContent = typeof value === "number" ? value.toLocaleString("en") : value;
      cell.className = kind ?? "";
    }
    return row;
  });
  byId("outputs").querySelector("tbody").replaceChildren(...rows);
}

function duration(seconds) {
  const [h, m, s] = [seconds / 3600, (seconds / 60) % 60, seconds % 60].map(Math.floor);
  return h ? `${h} h ${m} min` : m ? `${m} min ${s} s` : `${s} s`;
}

function showOffline(error) {
  const offline = byId("offline");
  const line = error.status ? error.message : "Connection lost, reconnecting…";
  // Screen readers announce an alert when it changes.
  if (offline.hidden || offline.textContent !== line) offline.textContent = line;
  offline.hidden = false;
  reachable = false;
  for (const camera of cameras.values()) camera.showDisconnected();
}

function showOnline() {
  if (reachable) return;
  reachable = true;
  byId("offline").hidden = true;
  for (const camera of cameras.values()) camera.start();
}

async function run() {
  for (;;) {
    const requestedAt = performance.now();
    if (!document.hidden) {
      try {
        const status = await fetchJson("api/status", { signal: AbortSignal.timeout(4000) });
        showOnline();
        show(status, requestedAt);
      } catch (error) {
        showOffline(error);
      }
    }
    const rest = document.hidden ? 3600_000 : reachable ? POLL_INTERVAL - (performance.now() - requestedAt) : 1000;
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, Math.max(0, rest));
    });
  }
}

document.addEventListener("visibilitychange", () => {
  for (const camera of cameras.values()) document.hidden ? camera.stop() : camera.start();
  if (!document.hidden) wake();
});

byId("more").addEventListener("click", () => {
  const open = byId("settings").classList.toggle("open");
  byId("more").setAttribute("aria-expanded", open);
});
byId("error").querySelector("button").addEventListener("click", () => showError(""));

run();
