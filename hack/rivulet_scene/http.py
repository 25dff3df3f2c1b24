"""Plain HTTP requests as a user would make with curl: no redirects followed, every one with a time limit."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of one answer; an HTTP error is an answer as well."""

    status: int
    headers: Message
    body: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def request(
    method: str, url: str, *, body: str | None = None, headers: Mapping[str, str] | None = None, seconds: float = 10
) -> Answer:
    """One request. OSError when nobody answers."""
    asked = urllib.request.Request(  # noqa: S310 - only http:// addresses of the testbed are asked
        url, data=None if body is None else body.encode(), headers=dict(headers or {}), method=method
    )
    try:
        with _opener.open(asked, timeout=seconds) as answer:
            return Answer(answer.status, answer.headers, answer.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read().decode())


def get(url: str, **headers: str) -> Answer:
    """GET with a short time limit."""
    return request("GET", url, headers=headers)
