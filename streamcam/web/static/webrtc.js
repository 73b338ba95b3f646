// A camera's picture by WebRTC.

import { send } from "./api.js";

const CONNECTING = 8000; // ms until a connection is given up that has shown nothing
const SILENT = 4000; // ms; a camera that stands sends its picture again every second
const POLL = 500; // ms

/** Shows a camera in a video element until `leave` is called, or it cannot be or breaks: then `broken` is. */
export class Peer {
  constructor(path, video, broken) {
    this.connection = new RTCPeerConnection();
    this.video = video;
    this.broken = broken;
    this.frames = 0;
    this.due = performance.now() + CONNECTING;
    this.timer = setInterval(() => this.poll(), POLL);
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
    await this.connection.setRemoteDescription(await send("POST", `${path}/webrtc`, { sdp, type }));
  }

  /** Frames tell that all is well: a connection may stand while nothing comes. */
  async poll() {
    for (const one of (await this.connection.getStats()).values()) {
      if (one.type !== "inbound-rtp" || !(one.framesDecoded > this.frames)) continue;
      this.frames = one.framesDecoded;
      this.due = performance.now() + SILENT;
    }
    if (performance.now() > this.due) this.fail();
  }

  fail() {
    if (this.left) return;
    this.leave();
    this.broken();
  }

  leave() {
    this.left = true;
    clearInterval(this.timer);
    this.connection.close();
  }
}
