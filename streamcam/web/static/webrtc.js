// A camera's video by WebRTC.

import { sendJson } from "./api.js";

const CONNECT_TIMEOUT = 8000; // ms until the first frame
const STALL_TIMEOUT = 4000; // ms between frames; the server repeats the last frame every second
const POLL_INTERVAL = 500; // ms

/** Play a camera in a video element until `stop` is called; call `onFailed` if it cannot connect or stalls. */
export class WebRtcPlayer {
  constructor(path, video, onFailed) {
    this.connection = new RTCPeerConnection();
    this.video = video;
    this.onFailed = onFailed;
    this.frames = 0;
    this.deadline = performance.now() + CONNECT_TIMEOUT;
    this.timer = setInterval(() => this.poll(), POLL_INTERVAL);
    this.connection.addEventListener("track", ({ receiver, track }) => {
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      video.srcObject = new MediaStream([track]);
    });
    this.connection.addEventListener("connectionstatechange", () => {
      if (["failed", "closed"].includes(this.connection.connectionState)) this.fail();
    });
    this.connect(path).catch(() => this.fail());
  }

  async connect(path) {
    this.connection.addTransceiver("video", { direction: "recvonly" });
    await this.connection.setLocalDescription();
    const { sdp, type } = this.connection.localDescription;
    await this.connection.setRemoteDescription(await sendJson("POST", `${path}/webrtc`, { sdp, type }));
  }

  /** Check that frames arrive: a connection may stay open without any. */
  async poll() {
    for (const report of (await this.connection.getStats()).values()) {
      if (report.type !== "inbound-rtp" || !(report.framesDecoded > this.frames)) continue;
      this.frames = report.framesDecoded;
      this.deadline = performance.now() + STALL_TIMEOUT;
    }
    if (performance.now() > this.deadline) this.fail();
  }

  fail() {
    if (this.stopped) return;
    this.stop();
    this.onFailed();
  }

  stop() {
    this.stopped = true;
    clearInterval(this.timer);
    this.connection.close();
  }
}
