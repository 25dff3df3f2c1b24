"""The nodes of this region: their joins and their links (docs/contract.md §7.1, §7.2).

What a node ought to know apart from the table (its address, the directors, its drain, policies of streams) is level-
triggered: `refresh` compares it with what its link was told and sends what differs.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rivulet_media.director.balancer import server_name
from rivulet_media.director.deletions import Deletions
from rivulet_media.director.directory import Directory, Source, as_entries
from rivulet_media.director.joining import Admission, JoinRefusedError, addresses_of, admit
from rivulet_media.director.membership import Membership
from rivulet_media.director.pulls import orders
from rivulet_media.director.resources import Stream
from rivulet_media.director.settings import Settings
from rivulet_media.director.settling import Settling
from rivulet_media.frame_link import Link, LinkClosedError, Socket
from rivulet_media.table import Delta, StreamEntry
from rivulet_media.wire import (
    FROM_NODE,
    Address,
    Beat,
    Counts,
    Directors,
    Drain,
    EndStream,
    Entries,
    Frame,
    Goodbye,
    Hello,
    LinkHello,
    Policies,
    PullOrder,
    Pulls,
    Settled,
    StreamPolicy,
    Welcome,
    render,
    table_body,
)
from rivulet_media.wire_operator import DrainOrder

log = logging.getLogger(__name__)

HELLO_SECONDS = 5.0
SETTLED_SECONDS = 30.0


@dataclass
class Told:
    """What one node's link was told so far. `said`: the latest version of its entry that the node has said on it."""

    link: Link
    hello: LinkHello
    remote: str
    reach: Address
    directors: tuple[str, ...]
    said: int = 0
    deadline: float | None = None
    policies: Mapping[str, StreamPolicy] = field(default_factory=dict)
    pulls: Mapping[str, PullOrder] | None = None
    settled: frozenset[str] = frozenset()
    settled_at: float = 0.0
    ended: set[str] = field(default_factory=set)


@dataclass
class Desk:
    """What is the same for all nodes of the region; others keep it up to date.

    `policy_elsewhere`: what another region says of a stream that is published there.
    """

    directors: Callable[[], tuple[str, ...]]
    whole_regions: Callable[[], frozenset[str]]
    policy_elsewhere: Callable[[str], StreamPolicy | None]
    drains: Mapping[str, DrainOrder] | None = None


class NodeLinks:
    """Answers hellos and keeps one link to every node of the region."""

    def __init__(
        self, settings: Settings, directory: Directory, membership: Membership, settling: Settling, desk: Desk
    ) -> None:
        self.desk = desk
        self._settings = settings
        self._directory = directory
        self._membership = membership
        self._settling = settling
        self._links: dict[str, Told] = {}
        self._deletions = Deletions()
        directory.listen(self._tell)
        directory.listen_to_resources(self.refresh)

    @property
    def linked(self) -> int:
        """How many nodes have a link."""
        return len(self._links)

    def join(self, hello: Hello, remote: str) -> Welcome:
        """The answer to a hello. Raises JoinRefusedError."""
        admission = admit(hello, remote=remote, region=self._settings.region, resources=self._directory.resources)
        self._settling.heard(admission.slot, self._directory.now)
        return self._welcome(admission)

    async def serve(self, socket: Socket, remote: str) -> None:
        """One node's link, from its hello to its end."""
        async with Link(socket, FROM_NODE, peer=remote) as link:
            try:
                told = await self._greet(link, remote)
                log.info("node linked", extra={"node": told.hello.node.ref})
                await self._listen_to(told)
            except LinkClosedError as closed:
                log.info("node link ended: %s", closed, extra={"peer": link.peer})
            finally:
                self._release(link)

    def beat(self) -> None:
        """Every 2 s: still here."""
        text = render(Beat())
        for told in self._links.values():
            told.link.send_text(text)

    def refresh(self) -> None:
        """Send every node what it ought to know and was not told."""
        pulls, orphans = self._pulls(), self._orphans()
        for told in self._links.values():
            self._refresh_address(told)
            self._refresh_drain(told)
            self._refresh_policies(told)
            self._end_orphans(told, orphans)
            self._refresh_pulls(told, pulls)
            self._refresh_settled(told)

    # Receiving

    async def _greet(self, link: Link, remote: str) -> Told:
        hello = await link.receive(HELLO_SECONDS)
        if not isinstance(hello, LinkHello):
            await link.refuse("the first frame must be hello")
        try:
            welcome = self.join(hello, remote)
        except JoinRefusedError as refused:
            await link.refuse(str(refused))
        link.peer = hello.node.ref
        await self._check_own(link, hello, Entries(nodes=(hello.node,), streams=hello.streams))
        told = Told(link, hello, remote, welcome.reach, welcome.directors, hello.node.version)
        self._enter(told, welcome)
        return told

    def _enter(self, told: Told, welcome: Welcome) -> None:
        ref = told.hello.node.ref
        previous = self._links.get(ref)
        if previous is not None:
            previous.link.abandon("the node has connected again")
        told.link.send(welcome)
        self._links[ref] = told
        remembered = tuple(item for item in self._directory.table.gone if item.ref == ref)
        if remembered:
            told.link.send(Entries(gone=remembered))
        self._membership.heard(ref, self._directory.now)
        self._directory.hear(Source.NODE, nodes=[told.hello.node], streams=told.hello.streams)
        self.refresh()

    async def _listen_to(self, told: Told) -> None:
        ref = told.hello.node.ref
        async for frame in told.link.frames():
            self._membership.heard(ref, self._directory.now)
            if isinstance(frame, Goodbye):
                self._directory.remove([ref], Source.NODE)
                raise LinkClosedError("goodbye")
            await self._take(told, frame)

    async def _take(self, told: Told, frame: Frame) -> None:
        match frame:
            case Counts():
                self._directory.report(told.hello.node.ref, frame, told.said)
            case Entries():
                await self._check_own(told.link, told.hello, frame)
                self._said(told, frame)
                self._directory.hear(Source.NODE, nodes=frame.nodes, streams=frame.streams)
                self.refresh()
            case _:
                await told.link.refuse(f"{frame.TYPE} out of order")

    def _said(self, told: Told, entries: Entries) -> None:
        """Counts precede the entry that says draining; every link but the first begins with a later version."""
        for entry in entries.nodes:
            told.said = max(told.said, entry.version)
            self._directory.confirm(entry.ref, told.said, since=told.hello.node.version)

    async def _check_own(self, link: Link, hello: LinkHello, entries: Entries) -> None:
        """A node speaks for itself only."""
        ref, region = f"{hello.node.node}/{hello.incarnation}", self._settings.region
        if any(entry.ref != ref or entry.region != region for entry in entries.nodes):
            await link.refuse(f"nodes: only {ref} of region {region} may stand here")
        if any(entry.origin != ref or entry.region != region for entry in entries.streams):
            await link.refuse(f"streams: only those of origin {ref} in region {region} may stand here")
        if entries.gone:
            await link.refuse("gone: a node that leaves says goodbye")

    def _release(self, link: Link) -> None:
        for ref, told in list(self._links.items()):
            if told.link is link:
                del self._links[ref]

    # Telling

    def _tell(self, delta: Delta, _: Source) -> None:
        self._membership.forget(item.ref for item in delta.gone)
        if self._links:
            text = render(as_entries(delta))
            for told in self._links.values():
                told.link.send_text(text)

    def _welcome(self, admission: Admission) -> Welcome:
        directory, region = self._directory, self._settings.region
        sheet = directory.resources.regions.get(region)
        return Welcome(
            region=region,
            slot=admission.slot,
            role=admission.role,
            address=admission.addresses[0],
            also=admission.addresses[1:],
            cluster=self._settings.cluster,
            pod_candidate=self._has_turn(),
            directors=self.desk.directors(),
            balancer_name="" if sheet is None else server_name(sheet, admission.slot),
            table=table_body(directory.table, to_merge=True),
        )

    def _has_turn(self) -> bool:
        return bool(self._directory.resources.turn_slots(self._settings.region))

    def _refresh_address(self, told: Told) -> None:
        resources, region = self._directory.resources, self._settings.region
        address, *also = addresses_of(told.hello, remote=told.remote, region=region, resources=resources)
        reach = Address(address=address, also=tuple(also), pod_candidate=self._has_turn())
        if reach != told.reach:
            told.link.send(reach)
            told.reach = reach
        directors = self.desk.directors()
        if directors != told.directors:
            told.link.send(Directors(urls=directors))
            told.directors = directors

    def _refresh_drain(self, told: Told) -> None:
        """Only an operator that has spoken may take a drain back: its silence says nothing."""
        if self.desk.drains is None:
            return
        order = self.desk.drains.get(told.hello.node.node)
        deadline = None if order is None else order.deadline
        if deadline != told.deadline:
            told.link.send(Drain(deadline=deadline))
            told.deadline = deadline

    def _refresh_policies(self, told: Told) -> None:
        ref = told.hello.node.ref
        reported = self._directory.counts.get(ref)
        held = {entry.stream for entry in self._directory.table.streams if entry.origin == ref}
        held |= {relay.stream for relay in reported.counts.relays_in} if reported else set()
        wanted = {name: policy for name in held if (policy := self._policy(name)) is not None}
        changed = {name: policy for name, policy in wanted.items() if told.policies.get(name) != policy}
        if changed:
            told.link.send(Policies(streams=changed))
        told.policies = wanted

    def _orphans(self) -> list[StreamEntry]:
        """The region's publications whose Stream is not there any more; the last copy of the resources is no proof."""
        directory, region = self._directory, self._settings.region
        if not directory.resources.fresh:
            return []
        streams = directory.resources.streams.items()
        declared = frozenset(name for name, stream in streams if stream.region == region)
        own = [entry for entry in directory.table.streams if entry.region == region]
        return self._deletions.orphans(declared, own, directory.now)

    def _end_orphans(self, told: Told, orphans: list[StreamEntry]) -> None:
        for entry in orphans:
            if entry.origin == told.hello.node.ref and entry.incarnation not in told.ended:
                told.link.send(EndStream(stream=entry.stream, incarnation=entry.incarnation, reason="stream-ended"))
                told.ended.add(entry.incarnation)

    def _pulls(self) -> dict[str, dict[str, PullOrder]] | None:
        """None: what there is is not known well enough to say that something is not to be pulled."""
        directory = self._directory
        if not directory.settled or not directory.resources.fresh:
            return None
        return orders(directory.resources, directory.table, self._settings.region)

    def _refresh_pulls(self, told: Told, pulls: Mapping[str, Mapping[str, PullOrder]] | None) -> None:
        if pulls is None or told.hello.node.role != "origin":
            return
        wanted = pulls.get(told.hello.node.ref, {})
        if wanted != told.pulls:
            told.link.send(Pulls(streams=wanted))
            told.pulls = wanted

    def _refresh_settled(self, told: Told) -> None:
        if not self._directory.settled:
            return
        regions = self.desk.whole_regions() | {self._settings.region}
        if regions != told.settled or self._directory.now - told.settled_at >= SETTLED_SECONDS:
            told.link.send(Settled(regions=tuple(sorted(regions))))
            told.settled, told.settled_at = regions, self._directory.now

    def _policy(self, name: str) -> StreamPolicy | None:
        own = self._own_stream(name)
        return self.desk.policy_elsewhere(name) if own is None else own.policy

    def _own_stream(self, name: str) -> Stream | None:
        return self._directory.resources.stream_in(name, self._settings.region)
