"""A WHIP publisher and WHEP player made of GStreamer's webrtcbin as Debian has it: its certificate is RSA.

    gstreamer_client.py publish URL [--token T] [--codec vp8|h264] [--seconds N]
    gstreamer_client.py play    URL [--seconds N]

Runs on the system's Python, whose PyGObject fits the system's GStreamer. One line of JSON says that it is connected, a
last one how much of each kind was decoded. GStreamer's objects have no Python types: `Any` stands for them.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Final

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402 # versions are chosen before

CONNECT_SECONDS: Final = 20
HTTP_SECONDS: Final = 10
ENCODERS: Final = {
    "vp8": "vp8enc deadline=1 keyframe-max-dist=30 target-bitrate=800000 ! rtpvp8pay pt=96",
    "h264": "openh264enc bitrate=800000 gop-size=30 ! h264parse ! rtph264pay pt=96 config-interval=-1",
}
VIDEO: Final = "application/x-rtp,media=video,encoding-name={name},payload={payload},clock-rate=90000"
AUDIO: Final = "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2"
SENDING: Final = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1 ! {encoder} ! {video} "
    "! webrtc. audiotestsrc is-live=true wave=ticks ! audio/x-raw,channels=2 ! opusenc ! rtpopuspay pt=97 ! webrtc."
)


class Client:
    """One webrtcbin from its offer to the end of its session."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.loop: Any = GLib.MainLoop()
        self.counts: dict[str, int] = {}
        self.connected = False
        self.error: str | None = None
        self.session: str | None = None
        self.posted = self.answered = 0.0
        part = sending_part(options.codec) if options.command == "publish" else ""
        self.pipeline: Any = Gst.parse_launch(f"pipeline. ( webrtcbin name=webrtc bundle-policy=max-bundle {part} )")
        self.webrtc: Any = self.pipeline.get_by_name("webrtc")
        # libnice pairs no other address with loopback, and leaves that out unless told. The name keeps it alive.
        self.ice: Any = self.webrtc.get_property("ice-agent")
        self.ice.emit("add-local-ip-address", "127.0.0.1")
        self.webrtc.connect("notify::connection-state", self.on_state)
        self.webrtc.connect("notify::ice-gathering-state", self.on_gathering)
        if options.command == "publish":
            self.send_only()
        else:
            self.receive_only()

    def send_only(self) -> None:
        """What the pipeline brings goes out and nothing comes in."""
        for index in (0, 1):
            transceiver = self.webrtc.emit("get-transceiver", index)
            transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)

    def receive_only(self) -> None:
        """VP8 or H.264, and Opus."""
        video = [VIDEO.format(name="VP8", payload=96), VIDEO.format(name="H264", payload=98)]
        for caps in ("; ".join([video[0], f"{video[1]},packetization-mode=(string)1"]), AUDIO):
            direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
            self.webrtc.emit("add-transceiver", direction, Gst.Caps.from_string(caps))
        self.webrtc.connect("pad-added", self.on_track)

    def run(self) -> None:
        """From the offer to DELETE."""
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.on_error)
        self.pipeline.set_state(Gst.State.PLAYING)
        GLib.timeout_add(50, self.offer)
        GLib.timeout_add_seconds(CONNECT_SECONDS, self.give_up)
        try:
            self.loop.run()
        finally:
            if self.session:
                request("DELETE", self.session, self.options.token)
            self.pipeline.set_state(Gst.State.NULL)
        if self.error:
            sys.exit(f"gstreamer: {self.error}")
        say(**self.counts)

    def offer(self) -> bool:
        """Once the sources have told their formats; until then True keeps the timer."""
        if not all(pad.get_current_caps() for pad in self.webrtc.sinkpads):
            return True
        self.webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self.on_offer, None))
        return False

    def on_offer(self, promise: Any, _: object) -> None:
        reply = promise.get_reply()
        if reply is None or not reply.has_field("offer"):
            GLib.idle_add(self.end, f"no offer: {reply and reply.to_string()}")
        else:
            self.webrtc.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    def on_gathering(self, *_: object) -> None:
        if self.webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.exchange)

    def exchange(self) -> bool:
        """POST the offer, take the answer."""
        if self.session or self.error:
            return False
        offer = self.webrtc.get_property("local-description").sdp.as_text()
        self.posted = time.monotonic()
        try:
            answer, headers = request("POST", self.options.url, self.options.token, offer)
        except urllib.error.HTTPError as refusal:
            return self.end(f"POST: {refusal.status}: {refusal.read(2000)!r}; the offer was\n{offer}")
        except OSError as error:
            return self.end(f"POST: {error}")
        self.answered = time.monotonic()
        self.session = urllib.parse.urljoin(self.options.url, headers["Location"])
        _, sdp = GstSdp.SDPMessage.new_from_text(answer)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, sdp)
        self.webrtc.emit("set-remote-description", description, Gst.Promise.new())
        return False

    def on_state(self, *_: object) -> None:
        state = self.webrtc.get_property("connection-state")
        if state == GstWebRTC.WebRTCPeerConnectionState.CONNECTED and not self.connected:
            self.connected = True
            took = {"answer_ms": self.answered - self.posted, "connect_ms": time.monotonic() - self.answered}
            say(connected=True, **{name: round(1000 * seconds, 1) for name, seconds in took.items()})
            GLib.timeout_add(int(1000 * self.options.seconds), self.end)
        elif state == GstWebRTC.WebRTCPeerConnectionState.FAILED:
            GLib.idle_add(self.end, "the connection failed")

    def on_track(self, _: object, pad: Any) -> None:
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        decoder = self.add("decodebin")
        decoder.connect("pad-added", self.on_decoded, kind)
        pad.link(decoder.get_static_pad("sink"))

    def on_decoded(self, _: object, pad: Any, kind: str) -> None:
        sink = self.add("fakesink", sync=False)
        self.counts[kind] = 0
        pad.add_probe(Gst.PadProbeType.BUFFER, self.on_frame, kind)
        pad.link(sink.get_static_pad("sink"))

    def on_frame(self, _pad: object, _info: object, kind: str) -> Any:
        self.counts[kind] += 1
        return Gst.PadProbeReturn.OK

    def add(self, name: str, **properties: object) -> Any:
        """An element in the running pipeline."""
        element = Gst.ElementFactory.make(name)
        for key, value in properties.items():
            element.set_property(key, value)
        self.pipeline.add(element)
        element.sync_state_with_parent()
        return element

    def on_error(self, _: object, message: Any) -> None:
        error, detail = message.parse_error()
        self.end(f"{error.message}: {detail}")

    def give_up(self) -> bool:
        return self.connected or self.end("not connected in time")

    def end(self, error: str | None = None) -> bool:
        """Leave the loop; False takes a timer off it."""
        self.error = self.error or error
        self.loop.quit()
        return False


def sending_part(codec: str) -> str:
    return SENDING.format(encoder=ENCODERS[codec], video=VIDEO.format(name=codec.upper(), payload=96))


def request(method: str, url: str, token: str | None, body: str | None = None) -> tuple[str, Any]:
    headers = {"Content-Type": "application/sdp"} if body else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = body.encode() if body else None
    made = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 # the test's own URL
    with urllib.request.urlopen(made, timeout=HTTP_SECONDS) as response:  # noqa: S310
        return response.read().decode(), response.headers


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=("publish", "play"))
    parser.add_argument("url")
    parser.add_argument("--token")
    parser.add_argument("--codec", choices=tuple(ENCODERS), default="vp8")
    parser.add_argument("--seconds", type=float, default=5)
    Gst.init(None)
    Client(parser.parse_args()).run()


if __name__ == "__main__":
    main()
