"""All handlers as one aiohttp application."""

from aiohttp import web

from rivulet_media.problems import MAX_BODY
from rivulet_media.signalling.desk import Desk
from rivulet_media.signalling.events import SessionEvents
from rivulet_media.signalling.inside import Inside
from rivulet_media.signalling.layer import LayerChoice
from rivulet_media.signalling.limits import Limits
from rivulet_media.signalling.links import Links
from rivulet_media.signalling.relay import RelayOut
from rivulet_media.signalling.requests import allow_all_origins, problems
from rivulet_media.signalling.session import SessionResource
from rivulet_media.signalling.trace import Tracing
from rivulet_media.signalling.whep import Whep
from rivulet_media.signalling.whip import Whip


def build(desk: Desk) -> web.Application:
    """The application; nothing is bound yet."""
    app = web.Application(middlewares=[problems, Limits(desk).check], client_max_size=MAX_BODY)
    parts = (Whip, Whep, RelayOut, Links, SessionResource, SessionEvents, LayerChoice, Tracing, Inside)
    for part in parts:
        part(desk).add_to(app.router)
    app.on_response_prepare.append(allow_all_origins)
    return app
