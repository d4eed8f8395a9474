"""A connection to Redis. Every wait has a deadline; whatever goes wrong is an OSError, and the connection is over."""

import ssl
from collections import deque
from contextlib import suppress
from urllib.parse import unquote, urlsplit

import attrs
import trio

from townwatch.net.redis.resp import RedisError, Reply, RespBroken, RespReader, encode_command

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 5.0
CHUNK = 65_536
NAME = "townwatch"
DEFAULT_PORT = 6379


class RedisRefused(OSError):
    """Redis answered a command with an error, which is the message."""


class RedisSilent(OSError):
    """Nothing came for the time that was given."""


@attrs.frozen(kw_only=True)
class RedisAddress:
    """Where a Redis is. Its text names no password."""

    host: str = ""
    port: int = DEFAULT_PORT
    path: str = ""
    """Of a Unix socket; else empty."""
    tls: bool = False
    user: str = ""
    password: str = attrs.field(default="", repr=False)
    database: int = 0

    def __str__(self) -> str:
        return self.path or f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def read_address(url: str) -> RedisAddress:
    """Parse redis://, rediss:// and unix:// addresses. Raises ValueError, whose text has nothing of a password.

    >>> str(read_address("redis://:secret@cache/2"))
    'cache:6379'
    """
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("it begins with none of redis://, rediss:// and unix://")
    path = unquote(parts.path)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme == "unix":
        if not path.strip("/"):
            raise ValueError("it names no socket: unix:///run/redis/redis.sock")
        return RedisAddress(path=path, user=user, password=password)
    database = path.strip("/") or "0"
    if not (database.isascii() and database.isdigit()):
        raise ValueError("behind the last / is no number of a database")
    if not parts.hostname:
        raise ValueError("it names no host")
    return RedisAddress(
        host=parts.hostname,
        port=parts.port or DEFAULT_PORT,
        tls=parts.scheme == "rediss",
        user=user,
        password=password,
        database=int(database),
    )


class RedisConnection:
    """For one task. `connect` makes it."""

    def __init__(self, stream: trio.abc.Stream, most: int, most_of_all: int) -> None:
        self._stream = stream
        self._reader = RespReader(most, most_of_all)
        self._replies: deque[Reply] = deque()

    async def send(self, *words: str | bytes | int, seconds: float = ANSWER_SECONDS) -> None:
        """Send a command; its answer is the next reply. Raises OSError."""
        await self.send_all(encode_command(*words), seconds)

    async def send_all(self, commands: bytes, seconds: float = ANSWER_SECONDS) -> None:
        """Send commands that are encoded already. Raises OSError."""
        try:
            with trio.fail_after(seconds):
                await self._stream.send_all(commands)
        except trio.TooSlowError:
            raise OSError(f"it takes nothing for {seconds:g} s") from None
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise OSError(_why(error)) from None

    async def receive(self, seconds: float = ANSWER_SECONDS) -> Reply:
        """Wait for the next reply. Raises OSError, `RedisSilent` where none comes in time."""
        while not self._replies:
            try:
                with trio.fail_after(seconds):
                    data = await self._stream.receive_some(CHUNK)
                if not data:
                    raise OSError("it closed the connection")
                self._replies.extend(self._reader.feed(bytes(data)))
            except trio.TooSlowError:
                raise RedisSilent(f"it says nothing for {seconds:g} s") from None
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise OSError(_why(error)) from None
            except RespBroken as error:
                raise OSError(f"it does not speak Redis' protocol: {error}") from None
        return self._replies.popleft()

    @property
    def has_more(self) -> bool:
        """Return True if a reply is there already."""
        return bool(self._replies)

    async def ask(self, *words: str | bytes | int, seconds: float = ANSWER_SECONDS) -> Reply:
        """Send a command and return what it answers. Raises OSError, `RedisRefused` for an error of Redis'."""
        await self.send(*words, seconds=seconds)
        reply = await self.receive(seconds)
        if isinstance(reply, RedisError):
            raise RedisRefused(f"{words[0]}: {reply.text}")
        return reply

    async def aclose(self) -> None:
        """Close it, without a farewell."""
        await trio.aclose_forcefully(self._stream)


async def connect(address: RedisAddress, most: int, most_of_all: int) -> RedisConnection:
    """Connect, sign in, choose the database. Raises OSError."""
    stream: trio.abc.Stream | None = None
    try:
        with trio.fail_after(CONNECT_SECONDS):
            if address.path:
                stream = await trio.open_unix_socket(address.path)
            else:
                stream = await trio.open_tcp_stream(address.host, address.port)
            if address.tls:
                context = ssl.create_default_context()
                stream = trio.SSLStream(stream, context, server_hostname=address.host, https_compatible=True)
                await stream.do_handshake()
        made = RedisConnection(stream, most, most_of_all)
        if address.password:
            await made.ask("AUTH", *([address.user] if address.user else []), address.password)
        if address.database:
            await made.ask("SELECT", address.database)
        with suppress(RedisRefused):  # a name for CLIENT LIST; not every user may give one
            await made.ask("CLIENT", "SETNAME", NAME)
        return made
    except BaseException as error:
        if stream is not None:
            await trio.aclose_forcefully(stream)
        if isinstance(error, trio.TooSlowError):
            raise OSError(f"no connection within {CONNECT_SECONDS:g} s") from None
        if isinstance(error, trio.BrokenResourceError):
            raise OSError(f"TLS: {error.__cause__ or error}") from None
        raise


def _why(error: Exception) -> str:
    return str(error.__cause__ or error) or type(error).__name__
