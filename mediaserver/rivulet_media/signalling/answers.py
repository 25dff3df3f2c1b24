"""The 201 of WHIP, WHEP and relays."""

from aiohttp import web

from rivulet_media.sessions import Session
from rivulet_media.signalling.requests import SDP, SDP_FRAGMENT


def session_path(ref: str, session: str) -> str:
    """Where a session of node `ref` lives: the same path through any director."""
    return f"/session/{ref}/{session}"


def created(session: Session, ref: str, answer: str) -> web.Response:
    """A session was made."""
    headers = {
        "Content-Type": SDP,
        "Location": session_path(ref, session.id),
        "ETag": session.etag,
        "Accept-Patch": SDP_FRAGMENT,
    }
    return web.Response(status=201, headers=headers, text=None, body=answer.encode())
