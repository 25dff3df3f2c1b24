"""Lip-sync as a viewer of a browser gets it: when flashes are shown and when tones are heard. R17."""

import statistics
import time
from typing import Final

from chromium import Page
from rivulet_scene.waiting import until

# Pictures: the flash panel's brightness in each frame, at the time at which the frame is to be shown. Sound: what the
# page's own audio graph gets, at the context's time of the block's first sample. Both on the page's clock, in ms.
_WATCH: Final = """
(async () => {
  const video = document.getElementById("picture");
  const seen = window.flashAndTone = { flashes: [], tones: [] };
  const canvas = new OffscreenCanvas(16, 16);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  let bright = true;
  const look = (_, { expectedDisplayTime }) => {
    const [width, height] = [video.videoWidth, video.videoHeight];
    pen.drawImage(video, width / 4, height * 0.17, width / 2, height * 0.11, 0, 0, 16, 16);
    const pixels = pen.getImageData(0, 0, 16, 16).data;
    let sum = 0;
    for (let i = 0; i < pixels.length; i += 4) sum += pixels[i + 1];
    const now = sum / 256 > 128;
    if (now && !bright) seen.flashes.push(expectedDisplayTime);
    bright = now;
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);

  const context = new AudioContext({ sampleRate: 48000 });
  const code = `registerProcessor("ear", class extends AudioWorkletProcessor {
    constructor() { super(); this.quiet = 0; }
    process([[samples]]) {
      let peak = 0;
      for (const sample of samples ?? []) peak = Math.max(peak, Math.abs(sample));
      if (peak > 0.1) { if (this.quiet > 4800) this.port.postMessage(currentTime); this.quiet = 0; }
      else this.quiet += 128;
      return true;
    }
  });`;
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  const ear = new AudioWorkletNode(context, "ear");
  context.createMediaStreamSource(video.srcObject).connect(ear).connect(context.destination);
  ear.port.onmessage = ({ data }) => {
    const { contextTime, performanceTime } = context.getOutputTimestamp();
    seen.tones.push(performanceTime + (data - contextTime) * 1000);
  };
  await context.resume();
})()
"""
_NEAR_MS: Final = 500.0
_LATEST: Final = 5
_FEWEST: Final = 3


def watch(page: Page) -> None:
    """Begin to note flashes and tones on a page that plays."""
    page.evaluate(_WATCH)


def offsets_ms(page: Page) -> list[float]:
    """For each of the latest flashes the nearest tone's distance in ms; positive: the sound came after the picture."""
    seen = page.evaluate("window.flashAndTone")
    pairs = [
        min((tone - flash for tone in seen["tones"]), key=abs, default=_NEAR_MS) for flash in seen["flashes"][-_LATEST:]
    ]
    return [offset for offset in pairs if abs(offset) < _NEAR_MS]


def wait_until_in_step(page: Page, least: float = -100, most: float = 100, *, settle: float = 13) -> None:
    """Until the sound is between `least` and `most` ms after the picture, from `settle` seconds on.

    Chromium brings them together slowly, by at most 80 ms a second, from its buffers' first guesses, and the slower the
    busier the machine is. What the CDN did wrong would stay.
    """
    time.sleep(settle)
    try:
        until(lambda: least < _offset_ms(page) < most, "in step", seconds=90)
    except AssertionError:
        seen = {name: len(times) for name, times in page.evaluate("window.flashAndTone").items()}
        raise AssertionError(f"the latest offsets are {offsets_ms(page)} ms, seen {seen}") from None


def _offset_ms(page: Page) -> float:
    """The median of the latest; large while there are too few."""
    offsets = offsets_ms(page)
    return statistics.median(offsets) if len(offsets) >= _FEWEST else 1000.0
