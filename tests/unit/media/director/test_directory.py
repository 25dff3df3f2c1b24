"""Which counts stand beside a node's entry."""

import dataclasses

from entries import ORIGIN
from rivulet_media.director.directory import Directory, Source
from rivulet_media.wire import Counts

EDGE = dataclasses.replace(ORIGIN, node="edge-eu-0", version=4, role="edge")
CLOSED = dataclasses.replace(EDGE, version=5, state="draining")


def linked() -> Directory:
    """A director that an idle edge has told its counts, over a link that began with version 4."""
    directory = Directory("eu", lambda: 0.0)
    directory.hear(Source.NODE, nodes=[EDGE])
    directory.report(EDGE.ref, Counts(viewers=0), 4)
    return directory


def test_counts_stand_beside_the_entry_of_a_node_that_takes_viewers() -> None:
    directory = linked()
    assert directory.counts_of(EDGE) == Counts(viewers=0)
    assert directory.counts_of(dataclasses.replace(EDGE, version=6, state="full")) == Counts(viewers=0)


def test_a_sibling_that_says_draining_first_says_nothing_of_older_counts() -> None:
    directory = linked()
    directory.hear(Source.SIBLING, nodes=[CLOSED])
    assert directory.counts_of(CLOSED) is None
    directory.report(EDGE.ref, Counts(viewers=1), 4)
    directory.confirm(EDGE.ref, 5, since=4)
    assert directory.counts_of(CLOSED) == Counts(viewers=1)


def test_counts_of_an_earlier_link_are_not_confirmed() -> None:
    directory = linked()
    directory.confirm(EDGE.ref, 6, since=5)
    assert directory.counts_of(CLOSED) is None
