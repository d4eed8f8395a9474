"""A way to PostgreSQL that can lose what goes over it: a proxy of its Unix socket, in threads of its own."""

import os
import socket
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import attrs

NAME = ".s.PGSQL.5432"
COMMIT = b"COMMIT"


@attrs.define(eq=False)
class LosingWay:
    """`lose_answers`: the next COMMIT reaches the server, its answer nobody. `lose_commits`: it does not arrive."""

    directory: Path
    behind: Path
    lose_answers: bool = False
    lose_commits: bool = False
    lost: int = 0

    def through(self, url: str) -> str:
        """The same database by this way."""
        return url.replace(quote(str(self.behind)), quote(str(self.directory)))

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(self.behind / NAME))
            threading.Thread(target=self._there, args=(near, far), daemon=True).start()
            threading.Thread(target=self._back, args=(near, far), daemon=True).start()

    def _there(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := near.recv(65536):
                if COMMIT in data and (self.lose_answers or self.lose_commits):
                    self.lost += 1
                    if self.lose_answers:
                        far.sendall(data)
                    self.lose_answers = self.lose_commits = False
                    far.shutdown(socket.SHUT_WR)
                    near.shutdown(socket.SHUT_RDWR)  # for the client the connection broke
                    return
                far.sendall(data)
            far.shutdown(socket.SHUT_WR)

    def _back(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := far.recv(65536):
                with suppress(OSError):
                    near.sendall(data)
        near.close()
        far.close()


@contextmanager
def losing_way(server: str) -> Generator[LosingWay]:
    """`server`: the directory of PostgreSQL's socket."""
    with tempfile.TemporaryDirectory(prefix="tw-way-") as directory:
        way = LosingWay(Path(directory), Path(server))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.join(directory, NAME))
            listener.listen()
            threading.Thread(target=way.serve, args=(listener,), daemon=True).start()
            yield way
            listener.shutdown(socket.SHUT_RDWR)
