"""A connection to PostgreSQL of its own, for calls in threads that may be left to themselves.

    line = OwnConnection(url, "townwatch lease")
    with line.use() as connection:   # made where there is none
        connection.execute(…)
    line.give_up()                   # from any thread: a call that waits fails, and the next one connects anew
    line.close()                     # for good: a call that begins late does not connect again

`use` blocks; the others do not.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import attrs
from sqlalchemy.engine import URL

from townwatch.store.engine import driver, postgres


@attrs.define(eq=False)
class _Held:
    connection: Any
    users: int = 0
    over: bool = False
    """It was given up: the last who uses it closes it."""


def _as_it_is(_connection: Any) -> None:
    pass


class OwnConnection:
    """One connection, in autocommit. Given up under a call, it is closed at the end of that call."""

    def __init__(self, url: URL, application: str, prepare: Callable[[Any], None] = _as_it_is) -> None:
        """`prepare` is called with every new connection, before it is used."""
        self._url = url
        self._application = application
        self._prepare = prepare
        self._changing = threading.Lock()
        """Never held for longer than a few assignments."""
        self._held: _Held | None = None
        self._over = False
        self.given_up = 0
        """How often it was."""

    @property
    def descriptor(self) -> int | None:
        """The file descriptor; it becomes readable when the connection ends. None: there is no connection."""
        held = self._held
        return None if held is None or held.connection.closed else held.connection.fileno()

    @contextmanager
    def use(self) -> Generator[Any]:
        """The connection, for one call. Raises psycopg's errors, and `OperationalError` after `close`."""
        held = self._taken()
        try:
            yield held.connection
        finally:
            with self._changing:
                held.users -= 1
                last = held.over and held.users == 0
            if last:
                held.connection.close()

    def give_up(self) -> None:
        """End the connection; the next call makes a new one."""
        with self._changing:
            held, self._held = self._held, None
            self.given_up += 1
            if held is None:
                return
            held.over = True
            idle = held.users == 0
        if idle:
            held.connection.close()
        else:
            postgres.cut(held.connection)

    def close(self) -> None:
        """End it for good."""
        with self._changing:
            self._over = True
        self.give_up()

    def _taken(self) -> _Held:
        while True:
            with self._changing:
                if self._over:
                    raise driver.OperationalError("the connection is closed")
                if self._held is not None:
                    self._held.users += 1
                    return self._held
            self._connect()

    def _connect(self) -> None:
        before = self.given_up
        made = postgres.connect(self._url, self._application)
        with postgres.closed_on_error(made):
            made.autocommit = True
            self._prepare(made)
            with self._changing:
                if self._over or before != self.given_up:
                    raise driver.OperationalError("the connection was given up before it was there")
                if self._held is None:
                    self._held = _Held(made)
                    return
        made.close()  # another thread was first
