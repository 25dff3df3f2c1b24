"""The 201 of WHIP, WHEP and relays."""

from aiohttp import web

from rivulet_media.sessions import Session
from rivulet_media.signalling.requests import SDP, SDP_FRAGMENT
from rivulet_media.viewer_events import EVENT_NAMES

EVENTS_REL = "urn:ietf:params:whep:ext:core:server-sent-events"
LAYER_REL = "urn:ietf:params:whep:ext:core:layer"


def session_path(ref: str, session: str) -> str:
    """Where a session of node `ref` lives: the same path through any director."""
    return f"/session/{ref}/{session}"


def events_path(ref: str, session: str) -> str:
    """Where its events are."""
    return f"{session_path(ref, session)}/events"


def created(session: Session, ref: str, answer: str) -> web.Response:
    """A session was made; a viewer hears of it by events, if it knows that extension."""
    headers = {
        "Content-Type": SDP,
        "Location": session_path(ref, session.id),
        "ETag": session.etag,
        "Accept-Patch": SDP_FRAGMENT,
    }
    if session.kind == "viewer":
        events = f'<{events_path(ref, session.id)}>; rel="{EVENTS_REL}"; events="{",".join(EVENT_NAMES)}"'
        layer = f'<{session_path(ref, session.id)}/layer>; rel="{LAYER_REL}"'
        headers["Link"] = f"{events}, {layer}"
    return web.Response(status=201, headers=headers, text=None, body=answer.encode())
