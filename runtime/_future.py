"""A pykka future that trio tasks can await.

`await` it in trio, `get()` it in threads. `map`, `filter`, `join` and `reduce` are pykka's, unchanged: they are
lazy hooks that call a blocking `get()`. To await such a hook it is run; where it asks a future that has no value
yet, `get()` raises a private signal that names that future; that one is awaited, and the hook is run again. So a
hook may run several times and should be pure, as pykka's own are.
"""

import queue
import sys
import threading
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

import pykka
import trio
from pykka._types import OptExcInfo

from townwatch.runtime._reasons import BlockingCallError

T = TypeVar("T")
Outcome = tuple[Any, OptExcInfo | None]

_probing = threading.local()


class _Missing(BaseException):
    """Signal that a hook asked `future`, which has no value yet. BaseException: no hook swallows it by accident."""

    def __init__(self, future: "TrioFuture[Any]") -> None:
        self.future = future


class _TaskWaker:
    """Wakes one parked trio task once, from whichever thread."""

    __slots__ = ("_future", "_task", "_thread", "_token")

    def __init__(self, future: "TrioFuture[Any]") -> None:
        self._future = future
        self._task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        self._thread = threading.get_ident()
        self._token = trio.lowlevel.current_trio_token()

    def __call__(self) -> None:
        if threading.get_ident() == self._thread:
            self._wake()
        else:
            self._token.run_sync_soon(self._wake)

    def _wake(self) -> None:
        if self._task is not None:
            task, self._task = self._task, None
            trio.lowlevel.reschedule(task)

    def forget(self) -> None:
        """Wake the task no more."""
        self._task = None
        self._future.forget(self)

    def abort(self, _raise_cancel: Any) -> trio.lowlevel.Abort:
        self.forget()
        return trio.lowlevel.Abort.SUCCEEDED


class TrioFuture(pykka.Future[T]):
    """A reply that will come: awaitable in trio, with a blocking `get()` for threads."""

    # pykka's __init__ sets these on each instance; as class attributes they cost nothing.
    _get_hook = None
    _get_hook_result: Any = pykka.Future()._get_hook_result  # pyright: ignore
    _outcome: Outcome | None = None
    _wakers: tuple[Callable[[], None], ...] = ()

    def __init__(self) -> None:  # deliberately without super().__init__(), see above
        pass

    @property
    def done(self) -> bool:
        """True once a value or an exception is there (never true for futures made by map, filter, join, reduce)."""
        return self._outcome is not None

    def set(self, value: T | None = None) -> None:
        self._settle((value, None))

    def set_exception(self, exc_info: OptExcInfo | None = None) -> None:
        assert exc_info is None or len(exc_info) == 3
        self._settle((None, exc_info or sys.exc_info()))

    def fail(self, error: BaseException) -> None:
        """`set_exception()` from an exception at hand; a future that is settled already stays as it is."""
        if self._outcome is None:
            self._settle((None, (type(error), error, error.__traceback__)))

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        if self._outcome is not None:
            raise queue.Full
        self._get_hook = func

    def _settle(self, outcome: Outcome) -> None:
        # dict.setdefault is atomic: of two threads that set at once, one gets queue.Full, as in pykka.
        if self._get_hook is not None or self.__dict__.setdefault("_outcome", outcome) is not outcome:
            raise queue.Full
        wakers, self._wakers = self._wakers, ()
        for wake in wakers:
            wake()

    def get(self, *, timeout: float | None = None) -> T:
        """Return the value; block a thread until it is there.

        Args:
            timeout: seconds; None: for ever.

        Raises:
            BlockingCallError: this is a trio task, and it would have to wait.
            pykka.Timeout: the value did not come in time.
        """
        if self._get_hook is not None:
            return super().get(timeout=timeout)
        if self._outcome is None:
            self._block(timeout)
        return self._unwrap()

    def _block(self, timeout: float | None) -> None:
        if trio.lowlevel.in_trio_run():
            if getattr(_probing, "on", False):
                raise _Missing(self)
            raise BlockingCallError("get() would stop the loop that must produce the value: use `await future`")
        done = threading.Event()
        self._wakers = (*self._wakers, done.set)
        if self._outcome is None and not done.wait(timeout):  # look again: a set() in between woke no one
            raise pykka.Timeout(f"{timeout} seconds")

    def _unwrap(self) -> Any:
        assert self._outcome is not None
        value, exc_info = self._outcome
        if exc_info is None:
            return value
        kind, error, traceback = exc_info
        assert kind is not None
        raise (error if error is not None else kind()).with_traceback(traceback)

    async def _wait(self) -> T:
        if self._get_hook is not None:
            return await self._run_hook()
        if self._outcome is None:
            await self._parked()
        else:
            await trio.lowlevel.checkpoint()
        return self._unwrap()

    async def _run_hook(self) -> T:
        await trio.lowlevel.checkpoint()
        while True:
            _probing.on = True
            try:
                return self.get()
            except _Missing as signal:
                missing = signal.future
            finally:
                _probing.on = False
            await missing._parked()

    def _parked(self) -> Awaitable[Any]:
        """Await it until there is an outcome. Not a coroutine itself: one frame less to wake."""
        waker = _TaskWaker(self)
        self._wakers = (*self._wakers, waker)
        if self._outcome is not None:  # look again: a set() from another thread in between woke no one
            waker.forget()
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105
        return trio.lowlevel.wait_task_rescheduled(waker.abort)  # noqa: ASYNC105

    def forget(self, waker: Callable[[], None]) -> None:
        """Do not call this waker any more."""
        self._wakers = tuple(other for other in self._wakers if other is not waker)

    def __await__(self) -> Generator[Any, Any, T]:
        return self._wait().__await__() if trio.lowlevel.in_trio_run() else super().__await__()

    __iter__ = __await__  # pyright: ignore


class Flag(threading.Event):
    """pykka gives each actor a `threading.Event`: 1.2 KiB and 4 µs for something that is almost never waited on.

    The condition that a waiting thread needs is made at first use; all else is one attribute.
    """

    _guard = threading.Lock()

    def __init__(self) -> None:  # deliberately without super().__init__(), which makes the condition
        self._flag = False

    def __getattr__(self, name: str) -> Any:
        if name != "_cond":
            raise AttributeError(name)
        with self._guard:
            if "_cond" not in self.__dict__:
                self.__dict__["_cond"] = threading.Condition(threading.Lock())
        return self.__dict__["_cond"]

    def is_set(self) -> bool:
        return self._flag

    def set(self) -> None:
        with self._guard:  # a waiter that makes its condition now must see the flag
            self._flag = True
            waiters = self.__dict__.get("_cond")
        if waiters is not None:
            with waiters:
                waiters.notify_all()
