"""Settings of the bridge to other people's Socket.IO servers."""

from typing import Literal

import attrs


@attrs.frozen(kw_only=True)
class BridgeSettings:
    """A Redis over which official Socket.IO servers and emitters talk (docs/socketio.md). Nothing passes that is not
    named here.
    """

    redis: str = ""
    """redis://[user:password@]host[:port][/db], rediss:// with TLS, or unix:///path. Empty: there is no bridge. Better
    set as TOWNWATCH_BRIDGE_REDIS than in a file where it has a password.
    """
    villages: list[str] = attrs.field(factory=list)
    """Names of villages that have a part in it, in either direction. Empty: none."""
    events: list[str] = attrs.field(factory=list)
    """Names of events of others that reach our clients. Names of our own are refused. Empty: none."""
    rooms: list[str] = attrs.field(factory=lambda: ["village:*"])
    """Rooms of those villages that others may emit to, as clients name them: village:demo, agent:NAME, repo:NAME; a *
    at the end stands for the rest of a name. An agent or a house is meant in each of the villages that has it.
    """
    namespaces: list[str] = attrs.field(factory=lambda: ["/"])
    """Namespaces of the others whose events are taken. Our clients get them in theirs, which is /."""
    key: str = "socket.io"
    """`key` of @socket.io/redis-adapter and @socket.io/redis-emitter. Empty: they are not heard."""
    stream: str = ""
    """`streamName` of @socket.io/redis-streams-adapter, which by default is socket.io. Empty: it is not read."""
    python_channel: str = "socketio"
    """`channel` of python-socketio's RedisManager. Empty: it is not heard."""
    most_bytes: int = 16_384
    """Largest event, in either direction. A larger one is dropped and counted."""
    per_second: float = 50.0
    """Events of others that are taken, all together, after `burst` at once; more are dropped and counted."""
    burst: int = 200
    publish_events: list[str] = attrs.field(factory=list)
    """Names of our events that are published for the others. Empty: none. All who may read that Redis see them."""
    publish_rooms: list[str] = attrs.field(factory=lambda: ["village:*"])
    """Rooms of those villages, written as in `rooms`, whose events are published."""
    publish_to: Literal["key", "stream"] = "key"
    """Whether they are published for @socket.io/redis-adapter, under `key`, or on `stream`."""
    publish_namespace: str = "/"
    """Namespace of the others' clients that get them."""
