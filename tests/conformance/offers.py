"""Offers as text, one deviation at a time. Pure: what makes one unlike another is random, and nothing else."""

import secrets
from dataclasses import dataclass, replace

FINGERPRINT = ":".join(["AB"] * 32)
CODECS = {
    "audio": ("111 opus/48000/2", ("111 minptime=10;useinbandfec=1",)),
    "video": (
        "96 VP8/90000",
        "97 H264/90000",
        ("97 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",),
    ),
}
FOREIGN = {"audio": ("9 G722/8000", ()), "video": ("31 H261/90000", ())}


@dataclass(frozen=True)
class Section:
    """One media section. `codecs`: rtpmaps, and a tuple of fmtps at the end."""

    kind: str
    codecs: tuple[str | tuple[str, ...], ...]
    stream: str = "one"
    more: tuple[str, ...] = ()

    def lines(self, mid: int, direction: str) -> list[str]:
        """Without transport and setup."""
        maps = [codec for codec in self.codecs if isinstance(codec, str)]
        fmtps = [fmtp for codec in self.codecs if isinstance(codec, tuple) for fmtp in codec]
        types = " ".join(text.partition(" ")[0] for text in maps)
        sends = [f"a=msid:{self.stream} {self.kind}-{mid}"] if direction != "recvonly" else []
        return [
            f"m={self.kind} 9 UDP/TLS/RTP/SAVPF {types}",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{mid}",
            f"a={direction}",
            *sends,
            "a=rtcp-mux",
            "a=rtcp-mux-only",
            *(f"a=rtpmap:{text}" for text in maps),
            *(f"a=fmtp:{text}" for text in fmtps),
            *self.more,
        ]


@dataclass(frozen=True)
class Offer:
    """A whole offer."""

    sections: tuple[Section, ...]
    direction: str
    setup: str = "actpass"
    user: str = ""
    password: str = ""

    @property
    def text(self) -> str:
        """As it is sent."""
        mids = " ".join(str(number) for number in range(len(self.sections)))
        transport = [
            f"a=ice-ufrag:{self.user}",
            f"a=ice-pwd:{self.password}",
            "a=ice-options:trickle",
            f"a=fingerprint:sha-256 {FINGERPRINT}",
            f"a=setup:{self.setup}",
        ]
        head = ["v=0", "o=- 4611731400430051336 2 IN IP4 127.0.0.1", "s=-", "t=0 0", f"a=group:BUNDLE {mids}"]
        body = [
            line
            for mid, section in enumerate(self.sections)
            for line in [*section.lines(mid, self.direction), *transport]
        ]
        return "\r\n".join([*head, "a=msid-semantic: WMS *", *body, ""])

    def with_setup(self, setup: str) -> "Offer":
        """Another `a=setup`."""
        return replace(self, setup=setup)

    def with_sections(self, *sections: Section) -> "Offer":
        """Other media."""
        return replace(self, sections=sections)

    def fragment(self, *candidates: str) -> str:
        """A trickle fragment of this offer's own ICE session."""
        kind, type_ = self.sections[0].kind, str(self.sections[0].codecs[0]).partition(" ")[0]
        lines = [
            f"a=ice-ufrag:{self.user}",
            f"a=ice-pwd:{self.password}",
            f"m={kind} 9 UDP/TLS/RTP/SAVPF {type_}",
            "a=mid:0",
            *(f"a=candidate:{candidate}" for candidate in candidates),
        ]
        return "\r\n".join([*lines, ""])

    def restarted(self) -> "Offer":
        """The same with new ICE credentials."""
        return _with_credentials(self)


AUDIO = Section("audio", CODECS["audio"])
VIDEO = Section("video", CODECS["video"])


def offer(direction: str) -> Offer:
    """One audio and one video track, by the book."""
    return _with_credentials(Offer((AUDIO, VIDEO), direction))


def _with_credentials(plain: Offer) -> Offer:
    return replace(plain, user=secrets.token_hex(4), password=secrets.token_hex(12))


@dataclass(frozen=True)
class Answered:
    """A description that came back, cut into its sections."""

    session: tuple[str, ...]
    sections: tuple[tuple[str, ...], ...]

    @classmethod
    def read(cls, text: str) -> "Answered":
        """Of an SDP or a fragment."""
        parts: list[list[str]] = [[]]
        for line in text.splitlines():
            if line.startswith("m="):
                parts.append([])
            parts[-1].append(line)
        return cls(tuple(parts[0]), tuple(tuple(part) for part in parts[1:]))

    @property
    def accepted(self) -> tuple[tuple[str, ...], ...]:
        """Sections that were not rejected."""
        return tuple(section for section in self.sections if section[0].split()[1] != "0")

    @property
    def rejected(self) -> tuple[tuple[str, ...], ...]:
        """Sections with port 0."""
        return tuple(section for section in self.sections if section[0].split()[1] == "0")

    @property
    def bundle(self) -> list[str]:
        """The mids of the one bundle; AssertionError when there is not exactly one."""
        (group,) = (line for line in self.session if line.startswith("a=group:BUNDLE"))
        return group.split()[1:]

    def value(self, name: str) -> str:
        """The first value of an attribute, wherever it stands; "" without one."""
        lines = [*self.session, *(line for section in self.sections for line in section)]
        return next((line.partition(":")[2] for line in lines if line.startswith(f"a={name}:")), "")


def values(section: tuple[str, ...], name: str) -> list[str]:
    """All values of an attribute of one section."""
    return [line.partition(":")[2] for line in section if line.startswith(f"a={name}:")]
