"""TLS of a runner: the authorities that it trusts, and the certificate that it shows."""

import ssl
from urllib.parse import urlsplit

import attrs
import trio


@attrs.frozen(kw_only=True)
class Tls:
    """Paths of PEM files. `ca`: who may sign the service's certificate; empty: those this machine trusts.

    `certificate` and `key`: what the runner shows of itself; empty: nothing.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""

    def context(self) -> ssl.SSLContext:
        """Blocks for the files. Raises OSError (`ssl.SSLError` is one), naming the file that cannot be used."""
        made = ssl.create_default_context()
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            if self.ca:
                made.load_verify_locations(self.ca)
        except OSError as error:
            raise OSError(f"{self.ca}: {error.strerror or error}") from None
        try:
            if self.certificate:
                made.load_cert_chain(self.certificate, self.key or None)
        except OSError as error:
            raise OSError(f"{self.certificate}, {self.key or 'its key'}: {error.strerror or error}") from None
        return made


async def open_stream(url: str, tls: Tls) -> trio.abc.Stream:
    """A connection to the host of an http, https, ws or wss URL; with https and wss its certificate is checked.

    Raises OSError, or trio.BrokenResourceError where the handshake fails. Set a deadline.
    """
    where = urlsplit(url)
    host = where.hostname or ""
    if where.scheme not in ("wss", "https"):
        return await trio.open_tcp_stream(host, where.port or 80)
    context = await trio.to_thread.run_sync(tls.context)
    stream = trio.SSLStream(
        await trio.open_tcp_stream(host, where.port or 443), context, server_hostname=host, https_compatible=True
    )
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream
