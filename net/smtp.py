"""The one SMTP client: one message to one address (RFC 5321), TLS from the start or by STARTTLS, one deadline for all.

Lines of the server are bounded, and what it said before TLS began counts for nothing afterwards.
"""

import socket
import ssl
from base64 import b64encode
from typing import Literal

import attrs
import trio

from townwatch.net.http_client import NotAnswered

Security = Literal["tls", "starttls", "none"]
MAX_LINE, MAX_LINES = 4096, 200
CLOSE_SECONDS = 1.0


class MailRefused(Exception):
    """The server said no. `permanent`: it will say so again. The message is one line, with the server's own words."""

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


@attrs.frozen(kw_only=True)
class MailServer:
    """`security`: tls is TLS from the first byte on (465), starttls is TLS after a greeting (587)."""

    host: str
    port: int
    security: Security
    user: str = ""
    password: str = attrs.field(default="", repr=False)
    trusted: ssl.SSLContext | None = None
    """What its certificate is checked with; None: against the authorities that this machine trusts."""


async def send_mail(server: MailServer, sender: str, recipient: str, message: bytes, seconds: float) -> None:
    """Hand a message over.

    Args:
        sender: the address in the envelope; `recipient` too. Both are ASCII, without blanks and angle brackets.
        message: headers and body; its line ends may be any.

    Raises:
        MailRefused: the server did not take it.
        NotAnswered: it was not reached, took too long, or broke off.
    """
    for address in (sender, recipient):
        if not address.isascii() or not address.isprintable() or any(sign in address for sign in " <>"):
            raise MailRefused(f"{address!r} is no address of SMTP", permanent=True)
    try:
        with trio.fail_after(seconds):
            stream = await trio.open_tcp_stream(server.host, server.port)
            try:
                await _Dialog(server, stream).send(sender, recipient, message)
            finally:
                with trio.move_on_after(CLOSE_SECONDS) as scope:
                    scope.shield = True
                    await trio.aclose_forcefully(stream)
    except trio.TooSlowError:
        raise NotAnswered(f"the mail server did not answer within {seconds:g} s") from None
    except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError) as error:
        raise NotAnswered(f"the mail server: {_words(error)}") from None


class _Dialog:
    def __init__(self, server: MailServer, stream: trio.SocketStream) -> None:
        self._server = server
        self._stream: trio.abc.Stream = stream
        self._buffer = bytearray()
        self._offers: dict[str, str] = {}

    async def send(self, sender: str, recipient: str, message: bytes) -> None:
        server = self._server
        if server.security == "tls":
            await self._encrypt()
        await self._answer("its greeting", 220)
        await self._greet()
        if server.security == "starttls":
            if "STARTTLS" not in self._offers:
                raise MailRefused("the mail server does not offer STARTTLS", permanent=True)
            await self._say("STARTTLS", 220)
            if self._buffer:
                raise NotAnswered("the mail server sent something between STARTTLS and TLS")
            await self._encrypt()
            await self._greet()
        if server.user:
            await self._sign_in()
        await self._say(f"MAIL FROM:<{sender}>", 250)
        await self._say(f"RCPT TO:<{recipient}>", 250, 251)
        await self._say("DATA", 354)
        lines = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n").split(b"\n")
        stuffed = (b"." + line if line.startswith(b".") else line for line in lines)
        await self._stream.send_all(b"\r\n".join((*stuffed, b".", b"")))
        await self._answer("the message", 250)
        await self._stream.send_all(b"QUIT\r\n")  # it has the message: what it says to this does not matter

    async def _greet(self) -> None:
        _code, lines = await self._say(f"EHLO {_own_name()}", 250)
        offers = (line.upper().partition(" ") for line in lines[1:])
        self._offers = {name: options for name, _, options in offers}

    async def _encrypt(self) -> None:
        context = self._server.trusted or await trio.to_thread.run_sync(ssl.create_default_context)
        stream = trio.SSLStream(self._stream, context, server_hostname=self._server.host, https_compatible=True)
        await stream.do_handshake()
        self._stream = stream

    async def _sign_in(self) -> None:
        user, password = self._server.user, self._server.password
        methods = self._offers.get("AUTH", "").split()
        if "PLAIN" in methods:
            await self._say(f"AUTH PLAIN {_base64(f'{chr(0)}{user}{chr(0)}{password}')}", 235, secret=True)
        elif "LOGIN" in methods:
            await self._say("AUTH LOGIN", 334)
            await self._say(_base64(user), 334, secret=True)
            await self._say(_base64(password), 235, secret=True)
        else:
            told = " ".join(methods) or "none"
            raise MailRefused(
                f"the mail server takes no password (AUTH PLAIN or LOGIN; it has: {told})", permanent=True
            )

    async def _say(self, line: str, *good: int, secret: bool = False) -> tuple[int, list[str]]:
        await self._stream.send_all(f"{line}\r\n".encode())
        return await self._answer("the password" if secret else line, *good)

    async def _answer(self, about: str, *good: int) -> tuple[int, list[str]]:
        """Return the code and the lines of an answer. Raises `MailRefused` for a code that is not `good`."""
        lines: list[str] = []
        while True:
            line = await self._line()
            code, sign, text = line[:3], line[3:4], line[4:]
            if not code.isdigit() or sign not in ("", " ", "-"):
                raise NotAnswered("the mail server does not speak SMTP")
            lines.append(text)
            if sign != "-":
                break
            if len(lines) == MAX_LINES:
                raise NotAnswered("an answer of the mail server does not end")
        if int(code) not in good:
            told = f"the mail server answered {code} to {about}: {' '.join(lines)[:300]}"
            raise MailRefused(told, permanent=code.startswith("5"))
        return int(code), lines

    async def _line(self) -> str:
        while b"\n" not in self._buffer:
            if len(self._buffer) > MAX_LINE:
                raise NotAnswered("a line of the mail server does not end")
            part = await self._stream.receive_some(4096)
            if not part:
                raise NotAnswered("the mail server hung up")
            self._buffer += part
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        return "".join(sign if sign.isprintable() else " " for sign in line.decode("utf-8", "replace").rstrip("\r"))


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _own_name() -> str:
    name = socket.gethostname()
    return name if name and name.isascii() and all(sign.isalnum() or sign in "-." for sign in name) else "localhost"


def _words(error: BaseException) -> str:
    """Return the first text in the chain of causes: trio's own errors may have none."""
    seen: BaseException | None = error
    while seen is not None:
        if text := " ".join(str(seen).split()):
            return text[:300]
        seen = seen.__cause__ or seen.__context__
    return type(error).__name__
