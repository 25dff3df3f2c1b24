"""An entry as an origin of region eu writes it; others are made of it with `dataclasses.replace`."""

from rivulet_media.table import NodeEntry, Pod

ORIGIN = NodeEntry(
    node="origin-eu-0",
    incarnation="77aa00000001",
    version=1,
    role="origin",
    region="eu",
    state="up",
    address="192.0.2.1",
    media_port=7000,
    http="192.0.2.1:8080",
    pod=Pod(ip="192.0.2.1"),
)
