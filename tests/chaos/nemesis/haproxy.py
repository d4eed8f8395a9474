"""HAProxy in front of the replicas, with the configuration that is shipped for it."""

import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import attrs
import httpx
import trio

from townwatch.config.process import free_port

SHIPPED = Path(__file__).parents[3] / "packaging" / "compose" / "haproxy.cfg"


def program() -> str | None:
    """Where haproxy is; None where there is none."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")


@attrs.define(eq=False)
class HaProxyFront:
    """In the place of a `SpreadingProxy` that is neither cut nor frozen."""

    ports: Sequence[int]
    folder: Path
    port: int = attrs.field(factory=lambda: free_port("127.0.0.1"))
    ready: trio.Event = attrs.field(factory=trio.Event)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        found = program()
        assert found is not None
        file = self.folder / "haproxy.cfg"
        file.write_text(self._config())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.run_process, [found, "-db", "-q", "-f", str(file)])
            nursery.start_soon(self._note_ready)
            task_status.started()

    def _config(self) -> str:
        """The shipped one, with our port and our replicas, which have no names to resolve."""
        text = SHIPPED.read_text().replace("bind :8484", f"bind 127.0.0.1:{self.port}")
        text, _, _ = text.partition("\n# Docker's own name server")
        servers = "".join(f"    server r{port} 127.0.0.1:{port}\n" for port in self.ports)
        return re.sub(r"(\n    # init-addr.*)?(\n    server .*)+\n", lambda _: f"\n{servers}", text)

    async def _note_ready(self) -> None:
        """Set `ready` once a replica answers through it, however long those take to start."""
        async with httpx.AsyncClient() as http:
            while not self.ready.is_set():
                with suppress(httpx.HTTPError):
                    if (await http.get(f"http://127.0.0.1:{self.port}/readyz")).status_code == 200:
                        self.ready.set()
                await trio.sleep(0.1)
