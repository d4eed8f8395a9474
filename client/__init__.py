"""A small typed client for programs: start a session, prompt it, wait for it, decide, stop, follow its events.

async with trio: `TownwatchClient`; without it: `SyncClient`. Both have the same words; docs/client.md shows them.
"""

from townwatch.client._asking import NotReached, ServiceError
from townwatch.client._client import RemoteSession, TownwatchClient, Until, Waited
from townwatch.client._following import Following, UnknownEvent
from townwatch.client._sync import SyncClient, SyncSession

__all__ = [
    "Following",
    "NotReached",
    "RemoteSession",
    "ServiceError",
    "SyncClient",
    "SyncSession",
    "TownwatchClient",
    "UnknownEvent",
    "Until",
    "Waited",
]
