"""The supervisor in time: budgets, backoff and several children against OTP's rules written down once more, as a model.

The corpus in tests/conformance/otp has no clock; here the programs wait, and the model knows the sliding window.
"""

from typing import Any

import trio
import trio.testing
from hypothesis import given, settings, strategies as st

from townwatch.runtime import Shutdown, TrioActor, open_world, whereis
from townwatch.supervision import ChildSpec, Supervisor

NAMES = "abcd"
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["crash", "crash", "normal", "shutdown"]), st.sampled_from(NAMES)),
        st.tuples(st.just("wait"), st.floats(0.1, 7.0)),
    ),
    max_size=25,
)


class Model:
    """OTP's supervisor without processes."""

    def __init__(self, strategy: str, restarts: dict[str, str], intensity: int, period: float) -> None:
        self.strategy, self.intensity, self.period = strategy, intensity, period
        self.restarts = dict(restarts)
        self.up = dict.fromkeys(restarts, True)
        self.trace = [f"+{name}" for name in restarts]
        self.failures: list[float] = []
        self.alive = True

    def exit(self, name: str, how: str, now: float) -> None:
        if not self.alive or not self.up.get(name):
            return
        if how == "normal":
            self.trace.append(f"-{name}")
        self.up[name] = False
        restart = self.restarts[name]
        if restart == "permanent" or (restart == "transient" and how == "crash"):
            self.fail(name, now)
        elif restart == "temporary":
            self.forget(name)

    def fail(self, name: str, now: float) -> None:
        self.failures = [at for at in self.failures if at >= now - self.period] + [now]
        if len(self.failures) > self.intensity:
            self.alive = False
            self.stop(list(self.up))
            return
        names = list(self.up)
        index = names.index(name)
        group = {"one_for_one": [name], "rest_for_one": names[index:], "one_for_all": names}[self.strategy]
        self.stop([other for other in group if other != name])
        for other in group:
            if other in self.up:
                self.up[other] = True
                self.trace.append(f"+{other}")

    def stop(self, names: list[str]) -> None:
        for name in reversed(names):
            if self.up[name]:
                self.trace.append(f"-{name}")
                self.up[name] = False
            if self.restarts[name] == "temporary":
                self.forget(name)

    def forget(self, name: str) -> None:
        del self.up[name]


class Worker(TrioActor):
    def __init__(self, name: str, trace: list[str]) -> None:
        super().__init__()
        self.name, self.trace = name, trace

    def on_start(self) -> None:
        self.trace.append(f"+{self.name}")

    def on_stop(self) -> None:
        if self.name:
            self.trace.append(f"-{self.name}")

    def on_receive(self, message: str) -> None:
        match message:
            case "crash":
                raise RuntimeError
            case "shutdown":
                self.name = ""
                raise Shutdown
            case _:
                self.stop()


@settings(max_examples=200, deadline=None)
@given(
    program=steps,
    strategy=st.sampled_from(["one_for_one", "rest_for_one", "one_for_all"]),
    kinds=st.lists(st.sampled_from(["permanent", "transient", "temporary"]), min_size=1, max_size=4),
    intensity=st.integers(0, 4),
    period=st.sampled_from([1.0, 5.0, 20.0]),
)
def test_the_supervisor_is_its_model(
    program: Any, strategy: Any, kinds: list[str], intensity: int, period: float
) -> None:
    restarts = dict(zip(NAMES, kinds, strict=False))
    trace: list[str] = []
    specs = [ChildSpec(name, Worker, (name, trace), restart=kind) for name, kind in restarts.items()]  # type: ignore

    async def main() -> None:
        async with open_world():
            sup = Supervisor.start(specs, strategy, intensity=intensity, period=period, name="top")
            await sup.ping()
            model = Model(strategy, restarts, intensity, period)
            for what, arg in program:
                if what == "wait":
                    await trio.sleep(arg)
                elif arg in restarts:
                    ref = whereis(f"top/{arg}")
                    if ref is not None:
                        ref.tell(what)
                    await trio.testing.wait_all_tasks_blocked()
                    model.exit(arg, what, trio.current_time())
                assert trace == model.trace
                assert sup.is_alive() == model.alive
                if model.alive:
                    children = await Supervisor.which_children(sup)
                    assert {child.id: child.state == "up" for child in children} == model.up

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
