"""Invariants that hold at every moment, during any fault, as far as the service can check them itself."""

from collections.abc import Callable, Iterator

import attrs

from townwatch.chaos.faults.targets import FaultContext
from townwatch.supervision import Node


@attrs.frozen(kw_only=True)
class Invariant:
    """`detail`: what it was checked on, or where it does not hold."""

    name: str
    holds: bool
    detail: str


def check(place: FaultContext) -> list[Invariant]:
    """Check all invariants now. Costs a walk over the tree and the sessions."""
    nodes = place.nodes()
    return [
        _whole_journal(place),
        _shown_is_stored(place),
        _within(nodes, "mailboxes are within their bounds", _overfull),
        _within(nodes, "no child restarts more often than allowed", _too_often),
    ]


def _whole_journal(place: FaultContext) -> Invariant:
    heads = place.disk.log.heads()
    torn = [session for session, head in heads.items() if head.holes]
    events = sum(head.events for head in heads.values())
    detail = f"session {torn[0]} has a hole" if torn else f"{events} events of {len(heads)} sessions"
    return Invariant(name="the journal has no hole", holds=not torn, detail=detail)


def _shown_is_stored(place: FaultContext) -> Invariant:
    heads = place.disk.log.heads()
    ahead = [
        session
        for session, shown in place.context.published.items()
        if session in heads and shown > heads[session].max_seq
    ]
    detail = f"session {ahead[0]} was shown more than is stored" if ahead else f"{len(heads)} sessions"
    return Invariant(name="what was shown is stored", holds=not ahead, detail=detail)


def _within(nodes: list[Node], name: str, faults: Callable[[Node], Iterator[str]]) -> Invariant:
    found = [text for node in nodes for text in faults(node)]
    return Invariant(name=name, holds=not found, detail=found[0] if found else f"{len(nodes)} actors")


def _overfull(node: Node) -> Iterator[str]:
    if node.mailbox is not None and node.mailbox.depth > node.mailbox.capacity:
        yield f"{node.path}: {node.mailbox.depth} of {node.mailbox.capacity}"


def _too_often(node: Node) -> Iterator[str]:
    if node.intensity is not None and (node.recent or 0) > node.intensity:
        yield f"{node.path}: {node.recent} restarts, allowed are {node.intensity} in {node.period:g} s"
