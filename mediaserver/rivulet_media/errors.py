"""What can go wrong, drawn as one tree, and its form on the wire: problem JSON (RFC 9457, docs/contract.md §3).

RivuletError
├── DefectError          our bug: a state that cannot be
├── SettingsError        whoever started this process said something that cannot work
└── RefusedError         the peer's fault: asking the same again will not help (4xx)
    ├── StaleTagError    another entity tag than the one that the peer knows stands now (412)
    └── NotYetError      not now: ask again after `retry_after` seconds (409 not-live, 429, 503)
"""

import json
from collections.abc import Mapping
from typing import Any, Final

PROBLEM_TYPE: Final = "application/problem+json"
PROBLEM_BASE: Final = "https://rivulet.dev/problems/"

# slug → (HTTP status, title)
PROBLEMS: Final[Mapping[str, tuple[int, str]]] = {
    "bad-request": (400, "Bad request"),
    "unauthorized": (401, "Unauthorized"),
    "forbidden": (403, "Forbidden"),
    "wrong-role": (403, "Wrong role"),
    "not-here": (403, "Not here"),
    "pulled": (403, "Pulled"),
    "not-found": (404, "Not found"),
    "no-link": (404, "No link"),
    "method-not-allowed": (405, "Method not allowed"),
    "not-live": (409, "Not live"),
    "name-in-use": (409, "Name in use"),
    "ssrc-used": (409, "SSRC used"),
    "ended": (410, "Ended"),
    "stale-etag": (412, "Stale entity tag"),
    "too-large": (413, "Too large"),
    "wrong-media-type": (415, "Wrong media type"),
    "not-playable": (422, "Not playable"),
    "no-tcp": (422, "No media over TCP"),
    "tcp-only": (422, "Media over TCP only"),
    "if-match-required": (428, "If-Match required"),
    "too-many-requests": (429, "Too many requests"),
    "defect": (500, "Defect"),
    "full": (503, "Full"),
    "settling": (503, "Settling"),
    "region-unreachable": (503, "Region unreachable"),
    "no-node": (503, "No node"),
}


class RivuletError(Exception):
    """Base of all our exceptions."""


class DefectError(RivuletError):
    """Our bug. Nobody outside can do anything about it."""


class SettingsError(RivuletError):
    """A flag or environment variable is missing or wrong; the message says which and what to put there."""


class RefusedError(RivuletError):
    """A request is refused. The message is the problem's `detail`: what is wrong, where, what to do."""

    def __init__(self, slug: str, detail: str, **members: Any) -> None:
        """`slug`: a key of PROBLEMS; `members`: more of the problem object, such as `reason`."""
        super().__init__(detail)
        self.slug = slug
        self.members = members

    @property
    def status(self) -> int:
        """HTTP status."""
        return PROBLEMS[self.slug][0]

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with the problem."""
        headers = {"Content-Type": PROBLEM_TYPE}
        if self.slug == "unauthorized":
            headers["WWW-Authenticate"] = "Bearer"
        return headers

    def body(self) -> bytes:
        """The problem object as JSON."""
        status, title = PROBLEMS[self.slug]
        problem = {"type": PROBLEM_BASE + self.slug, "title": title, "status": status, "detail": str(self)}
        return json.dumps({**problem, **self.members}).encode()


class StaleTagError(RefusedError):
    """The peer means what was replaced; the answer carries the present ETag."""

    def __init__(self, detail: str, etag: str) -> None:
        """`etag`: with its quotes, as the header has it."""
        super().__init__("stale-etag", detail)
        self.etag = etag

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with the problem."""
        return {**super().headers, "ETag": self.etag}


class NotYetError(RefusedError):
    """The same request may succeed later: the answer carries Retry-After."""

    def __init__(self, slug: str, detail: str, *, retry_after: int = 2, **members: Any) -> None:
        """`retry_after`: whole seconds, at least 1."""
        super().__init__(slug, detail, **members)
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """Headers that go with the problem."""
        return {**super().headers, "Retry-After": str(self.retry_after)}
