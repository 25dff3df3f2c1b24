"""Whatever goes wrong in a handler, as problem JSON (RFC 9457): one rule for nodes and directors."""

import logging

from aiohttp import hdrs, web

from rivulet_media.errors import RefusedError

log = logging.getLogger(__name__)

# An SDP never needs more; neither does a fragment of one.
MAX_BODY = 64 * 1024


def problem(error: Exception, request: web.Request) -> web.Response:
    """The answer. Raises `error` again when it is none, or when there is nobody to be answered."""
    refused = _refusal(error, request)
    answer = web.Response(status=refused.status, headers=refused.headers, body=refused.body())
    if isinstance(error, web.HTTPMethodNotAllowed):
        answer.headers[hdrs.ALLOW] = ", ".join(sorted(error.allowed_methods))
    return answer


def _refusal(error: Exception, request: web.Request) -> RefusedError:
    match error:
        case RefusedError():
            refused = error
        case web.HTTPRequestEntityTooLarge():
            refused = RefusedError("too-large", f"the body is larger than {MAX_BODY} bytes; an SDP never needs that")
        case web.HTTPNotFound():
            refused = RefusedError("not-found", f"there is nothing at {request.path}")
        case web.HTTPMethodNotAllowed():
            refused = RefusedError("method-not-allowed", f"{request.method} is not possible at {request.path}")
        case web.HTTPClientError():
            refused = RefusedError("bad-request", error.reason)
        case _ if isinstance(error, web.HTTPException) or hdrs.UPGRADE in request.headers:
            raise error  # a redirect; or a link that broke, where nothing can be answered any more
        case _:
            log.error("%s %s failed", request.method, request.path, exc_info=error)
            refused = RefusedError("defect", "this is our own mistake; the log of this process says more")
    return refused
