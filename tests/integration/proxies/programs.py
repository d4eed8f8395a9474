"""The proxies of docs/proxies.md, started from its own blocks: other ports and file names, and what a program of no
distribution needs around them.
"""

import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import trio
from cryptography import x509

from tests.support.certificates import Authority

DOCS = Path(__file__).parents[3] / "docs" / "proxies.md"
MODULES = Path("/usr/lib/apache2/modules")
APACHE = """ServerRoot {folder}
PidFile {folder}/pid
ErrorLog {folder}/log
Mutex file:{folder} default
User nobody
Group nogroup
Listen 127.0.0.1:{port}
{modules}
"""
APACHE_MODULES = "mpm_event authz_core ssl socache_shmcb proxy proxy_http proxy_wstunnel headers buffer"
TITLES = {"nginx": "nginx", "caddy": "Caddy", "haproxy": "HAProxy", "apache": "Apache"}
NGINX = """{user}pid {folder}/pid;
error_log stderr;
events {{}}
http {{
access_log off;
client_body_temp_path {folder}/body;
proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi;
scgi_temp_path {folder}/scgi;
{block}
}}
"""


def block(name: str) -> str:
    """The block of this proxy in the page."""
    found = re.search(rf"```{name}\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None, f"docs/proxies.md has no block for {name}"
    return found[1]


@attrs.frozen
class Proxy:
    """A proxy that listens. `url`: https."""

    url: str
    ca: str


@attrs.frozen
class Place:
    """Where a proxy's files are, where it listens, and what with."""

    folder: Path
    port: int
    text: str

    def files(self, kind: str) -> list[str]:
        """Write the configuration; the command line."""
        match kind:
            case "nginx":
                user = "user root;\ndaemon off;\n" if os.geteuid() == 0 else "daemon off;\n"
                found = NGINX.format(user=user, folder=self.folder, block=self.text)
                return [program("nginx"), "-p", str(self.folder), "-c", self._write(found)]
            case "haproxy":
                return [program("haproxy"), "-db", "-f", self._write(self.text)]
            case "caddy":
                head = "{\n admin off\n auto_https disable_redirects\n}\n"
                return [program("caddy"), "run", "--adapter", "caddyfile", "--config", self._write(head + self.text)]
            case _:
                named = [f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in APACHE_MODULES.split()]
                modules = "\n".join(named)
                head = APACHE.format(folder=self.folder, port=self.port, modules=modules)
                return [program("apache"), "-X", "-f", self._write(head + self.text)]

    def _write(self, text: str) -> str:
        file = self.folder / "configuration"
        file.write_text(text + "\n")
        return str(file)


def program(kind: str) -> str:
    """The program of this kind. Skips the test where it is not installed, and says so."""
    name = "apache2" if kind == "apache" else kind
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@asynccontextmanager
async def proxy(
    kind: str, folder: Path, service: str, port: int, change: Callable[[str], str] = lambda text: text
) -> AsyncIterator[Proxy]:
    """A proxy with TLS in front of the service at this URL. `change`: of its block."""
    folder.mkdir()
    authority = Authority(folder / "ca")
    pair = authority.issue("localhost", x509.DNSName("localhost"), server=True)
    both = folder / "both.pem"
    both.write_text(Path(pair.certificate).read_text() + Path(pair.key).read_text())
    text = change(block(kind))
    for name, here in (
        ("/etc/ssl/town.example.pem", pair.certificate),
        ("/etc/ssl/town.example.key", pair.key),
        ("/etc/ssl/town.example.both", str(both)),
        ("127.0.0.1:8484", service.removeprefix("http://")),
        ("town.example {", f"https://localhost:{port} {{\n bind 127.0.0.1"),
        ("town.example", "localhost"),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("bind :443", f"bind 127.0.0.1:{port}"),
        ("*:443", f"*:{port}"),
    ):
        text = text.replace(name, here)
    command = Place(folder, port, text).files(kind)
    own = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "HOME": str(folder)}
    log = folder / "output"
    with log.open("wb") as out:
        process = await trio.lowlevel.open_process(command, stdout=out, stderr=out, env={**os.environ, **own})
    try:
        with trio.fail_after(20):
            while not await _listens(port):
                assert process.poll() is None, log.read_text()
                await trio.sleep(0.05)
        yield Proxy(f"https://localhost:{port}", authority.file)
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            with trio.move_on_after(5):
                await process.wait()
            if process.poll() is None:
                process.kill()
                await process.wait()


async def _listens(port: int) -> bool:
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
    except OSError:
        return False
    await stream.aclose()
    return True
