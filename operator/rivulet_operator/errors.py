"""What can go wrong, by who has to act.

OperatorError
├── Misconfigured     the installer: the environment or the credentials make no sense
├── NotYet            nobody: asked again later
│   ├── Unreachable   the API server does not answer, or is overloaded
│   └── Conflict      the object has changed since we looked
├── Refused           the API server says no and will say no again (rights, schema)
└── LeaseLost         another operator of the region is at work: this one ends at once
"""


class OperatorError(Exception):
    """Anything that the operator itself raises."""


class Misconfigured(OperatorError):  # noqa: N818 - named by what is wrong, as the tree above reads
    """The environment or the credentials make no sense; the message says what to set."""


class NotYet(OperatorError):  # noqa: N818 - the same
    """The same attempt may succeed later."""


class Unreachable(NotYet):
    """No usable answer from the API server."""


class Conflict(NotYet):
    """The object changed since it was read, or a precondition on it failed."""


class Refused(OperatorError):  # noqa: N818 - the same
    """The API server refuses the request as it is; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        """`message` is what the API server said."""
        super().__init__(message)
        self.status = status


class LeaseLost(OperatorError):  # noqa: N818 - the same
    """Another operator holds the region's Lease."""
