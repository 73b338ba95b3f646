// The page: asks how things stand four times a second, and tells cameras and settings.

import { ask, problem } from "./api.js";
import { Camera } from "./camera.js";
import { Settings } from "./settings.js";

const PERIOD = 250; // ms
const STREAMS = 4; // a browser opens six connections to a host: two are left for everything else

const byId = (id) => document.getElementById(id);
const cameras = new Map();
const settings = new Settings();
let reachable = true;
let wake = () => {};

function show(status, asked) {
  settings.show(status, asked);
  byId("model").textContent = status.ready
    ? [status.model, status.layer, status.precision, status.device].filter(Boolean).join(" · ")
    : "";
  byId("uptime").textContent = `Running for ${duration(status.seconds)}`;
  const main = byId("cameras");
  if (cameras.size === 0) main.replaceChildren();
  const streamed = status.cameras.length <= STREAMS;
  for (const one of status.cameras) {
    if (!cameras.has(one.name)) {
      const camera = new Camera(one.name, streamed, status.webrtc);
      cameras.set(one.name, camera);
      main.append(camera.element);
    }
    cameras.get(one.name).show(one);
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

function lost(error) {
  const offline = byId("offline");
  const line = error.status ? error.message : "Connection lost, trying again…";
  // An alert is read out when it changes.
  if (offline.hidden || offline.textContent !== line) offline.textContent = line;
  offline.hidden = false;
  reachable = false;
  for (const camera of cameras.values()) camera.unknown();
}

function found() {
  if (reachable) return;
  reachable = true;
  byId("offline").hidden = true;
  for (const camera of cameras.values()) camera.watch();
}

async function run() {
  for (;;) {
    const asked = performance.now();
    if (!document.hidden) {
      try {
        const status = await ask("/api/status", { signal: AbortSignal.timeout(4000) });
        found();
        show(status, asked);
      } catch (error) {
        lost(error);
      }
    }
    const rest = document.hidden ? 3600_000 : reachable ? PERIOD - (performance.now() - asked) : 1000;
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, Math.max(0, rest));
    });
  }
}

document.addEventListener("visibilitychange", () => {
  for (const camera of cameras.values()) document.hidden ? camera.leave() : camera.watch();
  if (!document.hidden) wake();
});

byId("more").addEventListener("click", () => {
  const open = byId("settings").classList.toggle("open");
  byId("more").setAttribute("aria-expanded", open);
});
byId("problem").querySelector("button").addEventListener("click", () => problem(""));

run();
