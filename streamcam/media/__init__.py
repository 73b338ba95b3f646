"""Code that reading, writing and drawing share: image bytes, the CUDA context, WebRTC frames."""
