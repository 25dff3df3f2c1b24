"""Who has which numbers: prefixes and places get theirs once, under a lock, and keep them until ``down``."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rivulet_testbed.errors import StepTimeoutError, UsageError
from rivulet_testbed.places import MAX_PREFIXES, PLACES_PER_PREFIX, Place, Wish, check_place

ALLOCATION_LOCK_SECONDS = 30.0
FILE_NAME = "allocations.json"
LOCK_NAME = "allocations.lock"


@dataclass(frozen=True)
class Testbed:
    """One prefix: its number and its places in the order of their numbers."""

    __test__ = False

    prefix: str
    index: int
    places: tuple[Place, ...]

    def place(self, name: str) -> Place:
        """Return the place of that name, or say which there are."""
        for place in self.places:
            if place.name == name:
                return place
        known = ", ".join(place.name for place in self.places) or "none"
        raise UsageError(f"no place {name!r} in testbed {self.prefix!r} (there are: {known}); hack/testbed up {name}")

    def region(self, name: str) -> Place:
        """Return the region of that name; a bare place will not do."""
        place = self.place(name)
        if not place.is_region:
            raise UsageError(f"{name!r} is a place without a cluster")
        return place

    @property
    def regions(self) -> tuple[Place, ...]:
        """The places that have a cluster."""
        return tuple(place for place in self.places if place.is_region)


def lowest_free(taken: set[int], limit: int, what: str) -> int:
    """Return the lowest number below the limit that nobody has."""
    for number in range(limit):
        if number not in taken:
            return number
    raise UsageError(f"all {limit} {what} are taken: hack/testbed down one of them")


def with_wishes(testbed: Testbed, wishes: list[Wish], mtus: Mapping[str, int]) -> Testbed:
    """Add the wished places; one that exists keeps its number and must keep its shape."""
    places = {place.name: place for place in testbed.places}
    for wish in wishes:
        check_place(testbed.prefix, wish.name)
        old = places.get(wish.name)
        if old is not None and old.kubelets != wish.kubelets:
            raise UsageError(f"{wish.name!r} has {old.kubelets} kubelets: hack/testbed down {wish.name} first")
        if old is None:
            places[wish.name] = _new_place(testbed, wish, places, mtus)
    return Testbed(testbed.prefix, testbed.index, tuple(sorted(places.values(), key=lambda place: place.slot)))


def _new_place(testbed: Testbed, wish: Wish, places: Mapping[str, Place], mtus: Mapping[str, int]) -> Place:
    first = testbed.index * PLACES_PER_PREFIX
    number = lowest_free({place.slot - first for place in places.values()}, PLACES_PER_PREFIX, "places of a prefix")
    place = Place(testbed.prefix, wish.name, first + number, wish.kubelets)
    mtu = mtus.get(wish.name, place.mtu)
    return Place(place.prefix, place.name, place.slot, place.kubelets, mtu)


def without(testbed: Testbed, names: set[str]) -> Testbed:
    """Remove places."""
    return Testbed(testbed.prefix, testbed.index, tuple(place for place in testbed.places if place.name not in names))


def to_json(testbeds: Mapping[str, Testbed]) -> str:
    """Write the allocation file's content."""
    content = {
        prefix: {
            "index": testbed.index,
            "places": {p.name: {"slot": p.slot, "kubelets": p.kubelets, "mtu": p.mtu} for p in testbed.places},
        }
        for prefix, testbed in testbeds.items()
    }
    return json.dumps(content, indent=1)


def from_json(text: str) -> dict[str, Testbed]:
    """Read the allocation file's content."""
    testbeds = {}
    for prefix, entry in json.loads(text).items():
        places = tuple(
            Place(prefix, name, place["slot"], place["kubelets"], place["mtu"])
            for name, place in entry["places"].items()
        )
        testbeds[prefix] = Testbed(prefix, entry["index"], places)
    return testbeds


def find_or_new(testbeds: Mapping[str, Testbed], prefix: str) -> Testbed:
    """Return the prefix's testbed, or an empty one with the lowest free number."""
    if prefix in testbeds:
        return testbeds[prefix]
    taken = {testbed.index for testbed in testbeds.values()}
    return Testbed(prefix, lowest_free(taken, MAX_PREFIXES, "prefixes"), ())


class AllocationFile:
    """The file with the numbers of all prefixes, shared by all who run a testbed on this machine."""

    def __init__(self, state_root: Path) -> None:
        """Use the file in this folder."""
        self._root = state_root
        self._path = state_root / FILE_NAME

    def read(self, prefix: str) -> Testbed | None:
        """Return the prefix's testbed as it was last allocated, or None."""
        return self._load().get(prefix)

    def remove_if_empty(self) -> None:
        """Remove the file and its folder when nobody has a number and nothing else is there."""
        with file_lock(self._root / LOCK_NAME, ALLOCATION_LOCK_SECONDS):
            others = {path.name for path in self._root.iterdir()} - {FILE_NAME, LOCK_NAME}
            if not others and not self._load():
                self._path.unlink(missing_ok=True)
                (self._root / LOCK_NAME).unlink()
                with suppress(OSError):  # somebody has come meanwhile
                    self._root.rmdir()

    def _load(self) -> dict[str, Testbed]:
        return from_json(self._path.read_text()) if self._path.exists() else {}

    def grow(self, prefix: str, wishes: list[Wish], mtus: Mapping[str, int]) -> Testbed:
        """Give numbers to the wished places and return the whole testbed."""
        self._root.mkdir(parents=True, exist_ok=True)
        with file_lock(self._root / LOCK_NAME, ALLOCATION_LOCK_SECONDS):
            testbeds = self._load()
            testbeds[prefix] = with_wishes(find_or_new(testbeds, prefix), wishes, mtus)
            self._save(testbeds)
            return testbeds[prefix]

    def shrink(self, prefix: str, names: set[str]) -> None:
        """Give the places' numbers back, and the prefix's with its last place."""
        if not self._root.exists():
            return
        with file_lock(self._root / LOCK_NAME, ALLOCATION_LOCK_SECONDS):
            testbeds = self._load()
            if prefix in testbeds:
                testbeds[prefix] = without(testbeds[prefix], names)
                if not testbeds[prefix].places:
                    del testbeds[prefix]
                self._save(testbeds)

    def _save(self, testbeds: Mapping[str, Testbed]) -> None:
        draft = self._path.with_suffix(".tmp")
        draft.write_text(to_json(testbeds))
        draft.replace(self._path)


@contextmanager
def file_lock(path: Path, seconds: float, progress: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold an exclusive lock on a file; whoever dies lets go of it, and its holder may remove it."""
    deadline = time.monotonic() + seconds
    told = False
    while (descriptor := _try_lock(path)) is None:
        if progress and not told:
            progress(f"waiting for whoever holds {path}")
            told = True
        if time.monotonic() > deadline:
            raise StepTimeoutError(f"lock {path} (another hack/testbed is at work)", seconds)
        time.sleep(0.1)
    try:
        yield
    finally:
        os.close(descriptor)


def _try_lock(path: Path) -> int | None:
    """Return the locked file; None if it is another's, or was removed while we took it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        still_there = path.stat().st_ino == os.fstat(descriptor).st_ino
    except (BlockingIOError, FileNotFoundError):
        still_there = False
    if not still_there:
        os.close(descriptor)
        return None
    return descriptor
