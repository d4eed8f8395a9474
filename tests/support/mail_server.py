"""A mail server on a real socket, over trio: STARTTLS or TLS, a password, and what goes wrong as the test says."""

import ssl
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email import message_from_bytes
from email.message import Message
from email.policy import default

import attrs
import trio

from tests.support.certificates import Authority

USER, PASSWORD = "town", "correct horse"


@attrs.define(eq=False)
class MailHost:
    """`mode`: ok, refuse (550 to the recipient), busy (451), hang (after DATA), flood (a line without an end),
    inject (says something behind its answer to STARTTLS). `came`: (sender, recipient, message, how it came).
    """

    port: int
    ca: str
    mode: str = "ok"
    came: list[tuple[str, str, Message, str]] = attrs.field(factory=list)
    tries: int = 0

    async def until(self, count: int) -> list[Message]:
        with trio.fail_after(30):
            while len(self.came) < count:
                await trio.sleep(0.02)
        return [one[2] for one in self.came]


@asynccontextmanager
async def open_mail_host(authority: Authority, *, tls: bool = False) -> AsyncIterator[MailHost]:
    """Listens on loopback. `tls`: from the first byte on."""
    pair = authority.issue("127.0.0.1", server=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        host = MailHost(listener.socket.getsockname()[1], authority.file)

        async def serve(stream: trio.abc.Stream) -> None:
            host.tries += 1
            if tls:
                stream = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await _Talk(host, stream, context, secure=tls).run()

        await nursery.start(trio.serve_listeners, serve, [listener])
        yield host
        nursery.cancel_scope.cancel()


class _Talk:
    def __init__(self, host: MailHost, stream: trio.abc.Stream, context: ssl.SSLContext, *, secure: bool) -> None:
        self.host, self.stream, self.context, self.secure = host, stream, context, secure
        self.buffer, self.signed_in = b"", False

    async def line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            part = await self.stream.receive_some(65536)
            if not part:
                raise trio.ClosedResourceError
            self.buffer += part
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    async def say(self, text: str) -> None:
        await self.stream.send_all(f"{text}\r\n".encode())

    async def run(self) -> None:
        if self.host.mode == "flood":
            while True:
                await self.stream.send_all(b"2" * 65536)
        await self.say("220 mail.example ready")
        sender = recipient = ""
        while True:
            line = (await self.line()).decode()
            word = line.split(" ")[0].upper()
            match word:
                case "EHLO":
                    extra = "AUTH PLAIN LOGIN" if self.secure else "STARTTLS"
                    await self.say(f"250-mail.example hello\r\n250-SIZE 1000000\r\n250 {extra}")
                case "STARTTLS":
                    behind = "\r\n250 injected" if self.host.mode == "inject" else ""
                    await self.say(f"220 go ahead{behind}")
                    self.stream = trio.SSLStream(self.stream, self.context, server_side=True, https_compatible=True)
                    self.secure, self.buffer = True, b""
                case "AUTH":
                    given = b64decode(line.split(" ")[2]).decode().split("\0")
                    self.signed_in = given == ["", USER, PASSWORD]
                    await self.say("235 welcome" if self.signed_in else "535 that is not your password")
                case "MAIL" if not self.signed_in:
                    await self.say("530 sign in first")
                case "MAIL":
                    sender = line.partition("<")[2].rstrip(">")
                    await self.say("250 ok")
                case "RCPT":
                    recipient = line.partition("<")[2].rstrip(">")
                    answers = {"refuse": "550 no such person here", "busy": "451 try later"}
                    await self.say(answers.get(self.host.mode, "250 ok"))
                case "DATA":
                    await self.say("354 go on")
                    await self.data(sender, recipient)
                case _:
                    await self.say("221 bye")
                    return

    async def data(self, sender: str, recipient: str) -> None:
        if self.host.mode == "hang":
            await trio.sleep_forever()
        lines: list[bytes] = []
        while (line := await self.line()) != b".":
            lines.append(line[1:] if line.startswith(b".") else line)
        found = message_from_bytes(b"\r\n".join(lines), policy=default)
        how = "tls" if self.secure else "plain"
        self.host.came.append((sender, recipient, found, how))
        await self.say("250 taken")
