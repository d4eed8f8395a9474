"""Cancel a busy tree at step 1, 2, 3 … n: it must always come to a clean end.

Clean: the run ends, no actor is left, every ask is answered, the children stopped in reverse order, none twice.
"""

from typing import Any

import pytest
import trio
import trio.testing
from trio._core import _run

from townwatch.runtime import ActorDeadError, TrioActor, open_world, whereis
from townwatch.runtime.testing import leftovers
from townwatch.supervision import Backoff, ChildSpec, DynamicSupervisor, StartChild, Supervisor, TerminateChild


class Steps(trio.abc.Instrument):
    """Cancels a scope before the n-th step of any task."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0
        self.scope: trio.CancelScope | None = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += self.scope is not None
        if self.scope is not None and self.count == self.at:
            self.scope.cancel()


class Worker(TrioActor):
    def __init__(self, name: str, trace: list[str]) -> None:
        super().__init__()
        self.name, self.trace = name, trace

    async def on_start(self) -> None:
        await trio.sleep(0.1)
        self.trace.append(f"+{self.name}")

    async def on_receive(self, message: Any) -> Any:
        await trio.sleep(0.1)
        if message == "crash":
            raise RuntimeError
        return message

    async def on_stop(self) -> None:
        await trio.sleep(0.1)
        self.trace.append(f"-{self.name}")


async def busy_life(trace: list[str], futures: list[Any]) -> None:
    """Starts, calls, crashes, a group restart, a backoff, children that come and go."""
    children = [
        ChildSpec("a", Worker, ("a", trace)),
        ChildSpec("b", Worker, ("b", trace), backoff=Backoff(0.5)),
        ChildSpec("dyn", DynamicSupervisor, kwargs={"max_children": 3}),
        ChildSpec("z", Worker, ("z", trace)),
    ]
    sup = Supervisor.start(children, "rest_for_one", intensity=9, name="top")
    futures.append(sup.ask("x", block=False))
    await sup.ping()
    for name in ("c", "d"):
        futures.append(whereis("top/dyn").ask(StartChild(ChildSpec(name, Worker, (name, trace))), block=False))
    futures += [whereis(f"top/{name}").ask(n, block=False) for n, name in enumerate("abz")]
    await trio.sleep(0.3)
    whereis("top/b").tell("crash")
    futures += [whereis(f"top/{name}").ask(n, block=False) for n, name in enumerate("abz")]
    await trio.sleep(2)
    futures.append(sup.ask(TerminateChild("a"), block=False))
    futures.append(sup.stop(block=False))
    await trio.sleep(5)


def live(at: int) -> int:
    """One run, cancelled at a step. Returns how many steps there were."""
    steps, trace, futures = Steps(at), list[str](), list[Any]()

    async def main() -> None:
        before = trio.lowlevel.current_statistics().tasks_living
        with trio.fail_after(1000):
            with trio.CancelScope() as steps.scope:
                async with open_world():
                    await busy_life(trace, futures)
            steps.scope = None
            for future in futures:
                assert future.done or future._get_hook is not None
                try:
                    await future
                except (ActorDeadError, RuntimeError):
                    continue
        assert trio.lowlevel.current_statistics().tasks_living == before

    clock = trio.testing.MockClock(autojump_threshold=0)
    trio.run(main, clock=clock, instruments=[steps])
    assert leftovers() == []
    up = set[str]()
    for sign, name in trace:  # nobody stops who had not started
        assert sign == "+" or name in up, trace
        (up.add if sign == "+" else up.remove)(name)
    return steps.count


@pytest.mark.parametrize("seed", range(8))
def test_a_tree_cancelled_at_any_step_comes_to_a_clean_end(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """trio shuffles the tasks of each turn with one generator: a seed is a schedule."""
    monkeypatch.setattr(_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
    _run._r.seed(seed)
    total = live(at=-1)
    assert total > 60
    for at in range(1, total):
        _run._r.seed(seed)
        live(at)
