"""Answers as aiortc can take them. Pure.

A WHEP server rejects a kind that the stream does not have: port 0, outside BUNDLE, no transport (RFC 9429 §5.3.1).
aiortc would start ICE and DTLS from that section. It knows `inactive`, so a rejected section becomes an inactive one
with the transport of an accepted one.

A server names its candidates once, in the section that the bundle is tagged by (RFC 9143 §7.1). aiortc, told to bundle
everything, looks into the last section only: so every section gets them.
"""

from typing import Final

_CANDIDATES: Final = ("a=candidate:", "a=end-of-candidates")
_TRANSPORT: Final = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")
_OURS: Final = (*_CANDIDATES, "a=msid", "a=ssrc", "a=ice-options", *_TRANSPORT)
_DIRECTIONS: Final = ("a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive")


def repaired(offer: str, answer: str) -> str:
    """The answer with every rejected section as an inactive one, and all candidates in all sections.

    Raises ValueError when nothing was accepted.
    """
    session, *answered = _sections(answer)
    offered = _sections(offer)[1:]
    if len(answered) != len(offered):
        raise ValueError(f"{len(offered)} media sections were offered, {len(answered)} were answered")
    transport = next((section for section in answered if not _is_rejected(section)), None)
    if transport is None:
        raise ValueError("every media section was rejected")
    sections = [
        _inactive(asked, [*session, *transport]) if _is_rejected(section) else section
        for asked, section in zip(offered, answered, strict=True)
    ]
    candidates = [line for section in sections for line in section if line.startswith(_CANDIDATES)]
    sections = [_without_candidates(section) + list(dict.fromkeys(candidates)) for section in sections]
    mids = " ".join(_mid(section) for section in sections)
    session = [f"a=group:BUNDLE {mids}" if line.startswith("a=group:BUNDLE") else line for line in session]
    return "".join(f"{line}\r\n" for section in (session, *sections) for line in section)


def _sections(sdp: str) -> list[list[str]]:
    sections: list[list[str]] = [[]]
    for line in sdp.splitlines():
        if line.startswith("m="):
            sections.append([])
        if line:
            sections[-1].append(line)
    return sections


def _is_rejected(section: list[str]) -> bool:
    return section[0].split()[1] == "0"


def _mid(section: list[str]) -> str:
    return next((line.removeprefix("a=mid:") for line in section if line.startswith("a=mid:")), "")


def _without_candidates(section: list[str]) -> list[str]:
    return [line for line in section if not line.startswith(_CANDIDATES)]


def _inactive(asked: list[str], transport: list[str]) -> list[str]:
    kept = [line for line in asked if not line.startswith((*_OURS, *_DIRECTIONS))]
    return [*kept, "a=inactive", *(line for line in transport if line.startswith(_TRANSPORT))]
