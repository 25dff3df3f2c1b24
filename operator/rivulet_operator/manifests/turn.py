"""The pod of a TURN server."""

from __future__ import annotations
