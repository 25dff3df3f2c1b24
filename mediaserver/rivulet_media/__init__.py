"""Rivulet's media server: directors, media nodes and the tools around them."""

__version__ = "0.1.0"
