"""Who has to pause before it publishes again: a publisher that was ended for sending too much. Pure; the time comes in.

Invariant: nobody is barred for longer than `PAUSE_SECONDS`; at most `MOST_BARRED` are, the newest.
"""

import math
from collections import OrderedDict

from rivulet_media.errors import NotYetError

# It takes seconds to find out that somebody sends too much: so long as that, and more, the node has peace.
PAUSE_SECONDS = 10.0
MOST_BARRED = 1000


class Barring:
    """Subjects by the stream that they published; on others they publish what they may."""

    def __init__(self) -> None:
        self._until: OrderedDict[tuple[str, str], float] = OrderedDict()

    def bar(self, stream: str, subject: str, now: float) -> None:
        """From now on."""
        self._until.pop((stream, subject), None)
        self._until[stream, subject] = now + PAUSE_SECONDS
        if len(self._until) > MOST_BARRED:
            self._until.popitem(last=False)

    def check(self, stream: str, subject: str, now: float) -> None:
        """NotYetError `too-many-requests` while it is barred."""
        left = self._until.get((stream, subject), now) - now
        if left > 0:
            seconds = math.ceil(left)
            detail = f"{subject} has sent more on {stream} than this node takes of one publisher"
            raise NotYetError(
                "too-many-requests", f"{detail}; send less, and come again in {seconds} s", retry_after=seconds
            )
