"""TLS at the service's own port, and runners that are known by their certificates."""

import datetime
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
from cryptography import x509

from tests.support.certificates import Authority, Pair
from tests.support.service import Town, open_town
from townwatch.runner.link.tls import Tls, open_stream
from townwatch.store import runner_grants, runners
from townwatch.store.runners import RunnerRow

HANDSHAKE = (
    b"GET /runner HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n"
)


@attrs.define
class Place:
    town: Town
    ours: Authority
    """Who signs the service's certificate and the runners'."""

    def tls(self, pair: Pair | None = None) -> Tls:
        return Tls(ca=self.ours.file, certificate=pair.certificate if pair else "", key=pair.key if pair else "")

    async def knock(self, pair: Pair | None = None, extra: bytes = b"") -> bytes:
        """What the runners' door answers first."""
        stream = await open_stream(self.town.url, self.tls(pair))
        try:
            await stream.send_all(HANDSHAKE % extra)
            with trio.fail_after(10):
                return bytes(await stream.receive_some(4096))
        finally:
            await trio.aclose_forcefully(stream)

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.town.url, verify=ssl.create_default_context(cafile=self.ours.file))


@asynccontextmanager
async def open_place(path: Path, client_ca: str | None = None) -> AsyncIterator[Place]:
    ours = Authority(path / "ca")
    pair = ours.issue("127.0.0.1", server=True)

    def changes(found: Any) -> Any:
        files = {"tls_certificate": pair.certificate, "tls_key": pair.key}
        server = attrs.evolve(found.server, **files, tls_client_ca=ours.file if client_ca is None else client_ca)
        return attrs.evolve(found, server=server)

    async with open_town(path / "town", changes) as town:
        known = RunnerRow(runner_id="builder", name="builder", created_ms=1)
        await town.service.database.call(runners.put, known)
        await town.service.database.call(runner_grants.grant, "builder", "demo", None, 1)
        yield Place(town, ours)


async def test_the_api_and_the_page_over_tls(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place, place.http() as http:
        assert place.town.url.startswith("https://")
        assert (await http.get("/")).status_code == 200
        me = await http.get("/api/me", headers={"authorization": f"Bearer {place.town.token}"})
        assert me.json()["admin"] is True
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient(base_url=place.town.url) as strict:
                await strict.get("/")
        assert await negotiated(place, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        with pytest.raises((OSError, trio.BrokenResourceError)):
            await negotiated(place, ssl.TLSVersion.TLSv1_1)


async def negotiated(place: Place, most: ssl.TLSVersion) -> str | None:
    """The version that a client gets which knows nothing newer."""
    context = ssl.create_default_context(cafile=place.ours.file)
    context.maximum_version = most
    where = httpx.URL(place.town.url)
    stream = trio.SSLStream(
        await trio.open_tcp_stream(where.host, where.port or 0), context, server_hostname=where.host
    )
    try:
        with trio.fail_after(10):
            await stream.do_handshake()
        return stream.version()
    finally:
        await trio.aclose_forcefully(stream)


async def test_a_runner_comes_in_with_its_certificate_alone(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        pair = place.ours.issue("builder")
        url = place.town.url.replace("https", "wss") + "/runner"
        words = [f"--url={url}", "--runner-id=builder", f"--cert={pair.certificate}", f"--key={pair.key}"]
        state = [f"--ca={place.ours.file}", f"--state-dir={tmp_path / 'elsewhere'}"]
        command = [sys.executable, "-P", "-m", "townwatch", "runner", *words, *state]
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path
        )
        headers = {"authorization": f"Bearer {place.town.token}"}
        try:
            async with place.http() as http:
                with trio.fail_after(20):
                    while not (await http.get("/api/runners/builder", headers=headers)).json()["connected"]:
                        await trio.sleep(0.05)
                # removed, it is cut and does not come back, whatever the CA says
                assert (await http.delete("/api/runners/builder", headers=headers)).status_code == 200
                assert b"certificate names no runner that is known here" in await place.knock(pair)
        finally:
            process.terminate()
            await process.wait()


async def test_which_name_in_a_certificate_counts(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        uri = x509.UniformResourceIdentifier
        for pair in (
            place.ours.issue("builder"),
            place.ours.issue("somebody", uri("urn:townwatch:runner:builder")),
            place.ours.issue("somebody", uri("spiffe://example.org/runner/builder")),
        ):
            assert (await place.knock(pair)).startswith(b"HTTP/1.1 101 ")
        for pair in (
            place.ours.issue("stranger"),
            place.ours.issue("builder2"),
            place.ours.issue("somebody", x509.DNSName("builder")),  # a host, no runner
            place.ours.issue("' OR 1=1 --"),
        ):
            assert (await place.knock(pair)).startswith(b"HTTP/1.1 401 ")


async def test_without_a_certificate_a_token_is_asked_for_and_with_both_the_token_decides(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        assert (await place.knock()).startswith(b"HTTP/1.1 401 ")
        pair = place.ours.issue("builder")
        assert (await place.knock(pair, b"Authorization: Bearer twr_wrong\r\n")).startswith(b"HTTP/1.1 401 ")
        assert (await place.knock(pair, b"Origin: https://evil.example\r\n")).startswith(b"HTTP/1.1 403 ")


async def test_what_our_ca_did_not_sign_gets_no_handshake(tmp_path: Path) -> None:
    async with open_place(tmp_path) as place:
        others = Authority(tmp_path / "others", "test CA")  # by the same name
        for pair in (
            others.issue("builder"),
            place.ours.issue("builder", lasts=-datetime.timedelta(days=1)),
            place.ours.issue("builder", server=True),  # for servers, not for clients
        ):
            with pytest.raises((OSError, trio.BrokenResourceError)):
                assert await place.knock(pair) == b""
                raise ConnectionResetError
        assert (await place.knock(place.ours.issue("builder"))).startswith(b"HTTP/1.1 101 ")  # and the port lives


async def test_where_no_ca_is_configured_certificates_count_for_nothing(tmp_path: Path) -> None:
    async with open_place(tmp_path, client_ca="") as place:
        assert (await place.knock(place.ours.issue("builder"))).startswith(b"HTTP/1.1 401 ")


async def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "townwatch.toml").write_text('[server]\ntls_certificate = "missing.pem"\nport = 0\n')
    serve = [sys.executable, "-P", "-m", "townwatch", "serve"]
    env = {**os.environ, "TOWNWATCH_STATE_DIR": str(tmp_path / "state")}
    done = await trio.run_process(serve, check=False, capture_stdout=True, capture_stderr=True, cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr.decode().count("\n")) == (2, 1)
    assert "missing.pem" in done.stderr.decode()
    command = [
        sys.executable,
        "-P",
        "-m",
        "townwatch",
        "runner",
        "--url=wss://127.0.0.1:9/runner",
        "--runner-id=r",
        "--cert=no.pem",
    ]
    done = await trio.run_process(command, check=False, capture_stderr=True, cwd=tmp_path, env=env)
    assert done.returncode == 2
    assert "no.pem" in done.stderr.decode()
    assert not (tmp_path / "state" / "runner.json").exists()
