"""What pykka's public documentation promises, promise by promise, in our own words.

The `user` fixture runs each body in a thread; `actor` is ThreadingActor or TrioActor. docs/pykka-differences.md lists
what is different on purpose; those things have their tests in tests/unit/runtime.
"""

import logging
import queue
import threading
import time
from typing import Any

import pykka
import pytest
from pykka import ActorDeadError, ActorRegistry, Timeout
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr


def until(condition: Any) -> None:
    """Wait for something another thread will do."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.001)


@pytest.fixture
def plain(actor: Any) -> Any:
    """An actor with one of everything."""

    class Playback:
        """Reached through the actor when marked traversable."""

        volume = 5

        def play(self) -> str:
            return "playing"

    class Plain(actor):
        colour = "red"
        _secret = "hidden"

        def __init__(self, trace: Any = None) -> None:
            super().__init__()
            self.trace = trace if trace is not None else []
            self.trace.append(("init", threading.current_thread()))
            self.playback = pykka.traversable(Playback())
            self.closed = Playback()

        def on_start(self) -> None:
            self.trace.append(("start", threading.current_thread()))

        def on_stop(self) -> None:
            self.trace.append(("stop", threading.current_thread()))

        def on_failure(self, kind: Any, error: Any, traceback: Any) -> None:
            self.trace.append(("failure", kind, str(error), traceback is not None))

        def on_receive(self, message: Any) -> Any:
            if message == "fail":
                raise ValueError("told to")
            self.trace.append(("message", message))
            return ("echo", message)

        def add(self, a: int, b: int = 1) -> int:
            return a + b

        def fail(self) -> None:
            raise KeyError("asked to")

        def give_future(self) -> Any:
            future = self._create_future()
            future.set("inner")
            return future

        def stop_twice(self) -> None:
            self.stop()
            self.stop()

    return Plain


def steps(trace: Any) -> list[str]:
    return [entry[0] for entry in trace]


# -- Actor: life


def test_start_returns_a_ref_and_init_has_run_in_the_caller(user, plain):
    def body():
        trace: list[Any] = []
        ref = plain.start(trace)
        assert isinstance(ref, pykka.ActorRef)
        assert trace[0] == ("init", threading.current_thread())

    user(body)


def test_start_registers_before_on_start(user, actor):
    def body():
        seen = []

        class Curious(actor):
            def on_start(self):
                seen.append(ActorRegistry.get_by_urn(self.actor_urn))

        ref = Curious.start()
        until(lambda: seen)
        assert seen == [ref]

    user(body)


def test_arguments_of_start_go_to_init(user, actor):
    def body():
        class Named(actor):
            def __init__(self, name, *, size):
                super().__init__()
                self.name, self.size = name, size

        proxy = Named.start("it", size=3).proxy()
        assert (proxy.name.get(), proxy.size.get()) == ("it", 3)

    user(body)


def test_an_actor_has_urn_inbox_ref_and_flag_after_super_init(user, actor):
    def body():
        seen = {}

        class Inspecting(actor):
            def __init__(self):
                super().__init__()
                seen.update(urn=self.actor_urn, ref=self.actor_ref, stopped=self.actor_stopped, inbox=self.actor_inbox)

        ref = Inspecting.start()
        assert seen["urn"].startswith("urn:uuid:")
        assert seen["ref"] is ref
        assert isinstance(seen["stopped"], threading.Event)
        assert seen["inbox"] is ref.actor_inbox
        assert not seen["stopped"].is_set()

    user(body)


def test_urns_are_unique(user, plain):
    def body():
        assert len({plain.start().actor_urn for _ in range(50)}) == 50

    user(body)


def test_str_names_class_and_urn(user, plain):
    def body():
        ref = plain.start()
        assert str(ref) == f"Plain ({ref.actor_urn})"
        assert repr(ref) == f"<ActorRef for Plain ({ref.actor_urn})>"
        assert ref.actor_class is plain

    user(body)


def test_a_missing_super_init_is_an_error(user, actor):
    class Forgetful(actor):
        def __init__(self):
            pass

    def body():
        with pytest.raises((AssertionError, AttributeError, TypeError)):
            Forgetful.start()

    user(body)


def test_hooks_run_in_the_actors_own_context(user, plain):
    def body():
        trace: list[Any] = []
        ref = plain.start(trace)
        ref.stop()
        threads = {entry[0]: entry[1] for entry in trace}
        assert threads["start"] is threads["stop"]
        assert threads["start"] is not threading.current_thread()

    user(body)


def test_on_stop_runs_after_the_last_message(user, plain):
    def body():
        trace: list[Any] = []
        ref = plain.start(trace)
        ref.tell(1)
        ref.tell(2)
        ref.stop()
        assert steps(trace) == ["init", "start", "message", "message", "stop"]

    user(body)


def test_an_exception_in_on_start_stops_the_actor_without_on_failure(user, plain):
    class Stillborn(plain):
        def on_start(self):
            raise ValueError

    def body():
        trace: list[Any] = []
        ref = Stillborn.start(trace)
        until(lambda: not ref.is_alive())
        assert steps(trace) == ["init"]
        assert ActorRegistry.get_by_urn(ref.actor_urn) is None

    user(body)


def test_an_exception_in_on_stop_still_stops_the_actor(user, plain):
    class Clumsy(plain):
        def on_stop(self):
            raise ValueError

    def body():
        ref = Clumsy.start()
        assert ref.stop() is True
        assert not ref.is_alive()

    user(body)


def test_an_unhandled_exception_calls_on_failure_and_not_on_stop(user, plain):
    def body():
        trace: list[Any] = []
        ref = plain.start(trace)
        ref.tell("fail")
        until(lambda: "failure" in steps(trace))
        assert trace[-1] == ("failure", ValueError, "told to", True)
        assert not ref.is_alive()
        assert "stop" not in steps(trace)

    user(body)


def test_an_exception_in_on_failure_still_stops_the_actor(user, plain):
    class Clumsier(plain):
        def on_failure(self, *args):
            self.trace.append(("failure",))
            raise KeyError

    def body():
        trace: list[Any] = []
        ref = Clumsier.start(trace)
        ref.tell("fail")
        until(lambda: "failure" in steps(trace))
        until(lambda: not ref.is_alive())

    user(body)


def test_the_default_on_receive_logs_a_warning_and_returns_none(user, actor, caplog):
    logging.getLogger("pykka").propagate = True

    def body():
        class Bare(actor):
            pass

        assert Bare.start().ask("what?") is None

    user(body)
    assert any(
        r.levelno == logging.WARNING and "Unexpected message received by Bare" in r.message for r in caplog.records
    )


def test_an_actor_can_stop_itself_and_do_so_twice(user, plain):
    def body():
        trace: list[Any] = []
        ref = plain.start(trace)
        ref.proxy().stop_twice().get()
        until(lambda: "stop" in steps(trace))
        assert steps(trace).count("stop") == 1

    user(body)


def test_messages_sent_before_a_stop_of_itself_are_processed(user, plain):
    def body():
        trace: list[Any] = []
        ref = plain.start(trace)
        ref.tell("one")
        ref.proxy().stop_twice()
        until(lambda: "stop" in steps(trace))
        assert steps(trace)[-2:] == ["message", "stop"]

    user(body)


# -- ActorRef


def test_tell_returns_nothing_and_keeps_order(user, plain):
    def body():
        trace: list[Any] = []
        ref = plain.start(trace)
        assert [ref.tell(n) for n in range(20)] == [None] * 20
        ref.ask("done")
        assert [entry[1] for entry in trace[2:-1]] == list(range(20))

    user(body)


def test_ask_blocks_for_the_reply_or_gives_a_future(user, plain):
    def body():
        ref = plain.start()
        assert ref.ask("x") == ("echo", "x")
        future = ref.ask("y", block=False)
        assert isinstance(future, pykka.Future)
        assert future.get() == ("echo", "y")

    user(body)


def test_ask_raises_what_the_handler_raised_and_the_actor_lives(user, plain):
    def body():
        ref = plain.start()
        with pytest.raises(ValueError, match="told to"):
            ref.ask("fail")
        assert ref.ask("x") == ("echo", "x")

    user(body)


def test_ask_times_out(user, plain):
    def body():
        class Slow(plain):
            def on_receive(self, message):
                if message == "slow":
                    deadline = time.monotonic() + 0.05
                    while time.monotonic() < deadline:
                        pass

        ref = Slow.start()
        future = ref.ask("slow", block=False)
        with pytest.raises(Timeout):
            ref.ask("x", timeout=0.001)
        future.get(timeout=5)

    user(body)


def test_a_dead_actor_raises_actor_dead_error(user, plain):
    def body():
        ref = plain.start()
        ref.stop()
        with pytest.raises(ActorDeadError, match=f"{ref.actor_urn}.* not found"):
            ref.tell("x")
        with pytest.raises(ActorDeadError):
            ref.ask("x")
        future = ref.ask("x", block=False)
        with pytest.raises(ActorDeadError):
            future.get()
        with pytest.raises(ActorDeadError):
            pykka.ActorProxy(actor_ref=ref)

    user(body)


def test_stop_returns_whether_it_was_alive(user, plain):
    def body():
        ref = plain.start()
        assert ref.is_alive()
        assert ref.stop() is True
        assert not ref.is_alive()
        assert ref.stop() is False
        other = plain.start()
        assert other.stop(block=False).get() is True

    user(body)


def test_stop_lets_earlier_messages_through_and_answers_later_ones_with_an_error(user, plain):
    def body():
        ref = plain.start()
        earlier = [ref.ask(n, block=False) for n in range(5)]
        stopping = ref.stop(block=False)
        later = ref.ask("late", block=False)
        assert [future.get() for future in earlier] == [("echo", n) for n in range(5)]
        assert stopping.get() is True
        with pytest.raises(ActorDeadError):
            later.get()

    user(body)


# -- proxies


def test_a_proxy_reads_attributes_and_calls_methods_through_futures(user, plain):
    def body():
        proxy = plain.start().proxy()
        assert proxy.colour.get() == "red"
        assert proxy.add(1).get() == 2
        assert proxy.add(1, b=5).get() == 6

    user(body)


def test_a_proxy_sets_attributes_and_blocks_until_it_is_done(user, plain):
    def body():
        proxy = plain.start().proxy()
        proxy.colour = "blue"
        assert proxy.colour.get() == "blue"
        proxy.brand_new = 1
        assert proxy.brand_new.get() == 1

    user(body)


def test_a_proxy_hides_private_and_unknown_attributes(user, plain):
    def body():
        ref = plain.start()
        proxy = ref.proxy()
        with pytest.raises(AttributeError, match="has no attribute '_secret'"):
            proxy._secret  # noqa: B018
        with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
            proxy.nonsense()

    user(body)


def test_an_exception_of_a_method_is_raised_by_get_and_the_actor_lives(user, plain):
    def body():
        ref = plain.start()
        future = ref.proxy().fail()
        with pytest.raises(KeyError, match="asked to"):
            future.get()
        assert ref.is_alive()

    user(body)


def test_defer_is_tell_so_its_exception_kills_the_actor(user, plain):
    def body():
        trace: list[Any] = []
        ref = plain.start(trace)
        proxy = ref.proxy()
        assert proxy.add.defer(1) is None
        assert ref.is_alive()
        proxy.fail.defer()
        until(lambda: not ref.is_alive())
        until(lambda: "failure" in steps(trace))

    user(body)


def test_calling_an_attribute_that_is_not_callable_is_a_type_error(user, plain):
    def body():
        proxy = plain.start().proxy()
        with pytest.raises(TypeError):
            proxy.colour()

    user(body)


def test_a_traversable_attribute_is_reached_through_the_proxy(user, plain):
    def body():
        proxy = plain.start().proxy()
        assert proxy.playback.play().get() == "playing"
        assert proxy.playback.volume.get() == 5
        proxy.playback.volume = 11
        assert proxy.playback.volume.get() == 11
        with pytest.raises(AttributeError):
            proxy.closed.play  # noqa: B018

    user(body)


def test_traversable_refuses_slots():
    class Slotted:
        __slots__ = ("x",)

    with pytest.raises(ValueError, match="slots"):
        pykka.traversable(Slotted())


def test_a_method_may_return_a_future(user, plain):
    def body():
        inner = plain.start().proxy().give_future().get()
        assert inner.get() == "inner"

    user(body)


def test_proxies_know_their_ref_their_equals_and_their_attributes(user, plain):
    def body():
        ref = plain.start()
        one, two, other = ref.proxy(), pykka.ActorProxy(actor_ref=ref), plain.start().proxy()
        assert one.actor_ref is ref
        assert one == two
        assert hash(one) == hash(two)
        assert one != other
        assert {"colour", "add", "playback"} <= set(dir(one))
        assert ref.actor_urn in repr(one)

    user(body)


def test_a_proxy_of_a_dead_actor_raises(user, plain):
    def body():
        ref = plain.start()
        proxy = ref.proxy()
        ref.stop()
        with pytest.raises(ActorDeadError):
            proxy.add(1).get()
        with pytest.raises(ActorDeadError):
            proxy.colour = "green"
        with pytest.raises(ActorDeadError):
            ref.proxy()

    user(body)


def test_an_actor_defers_work_to_itself_through_a_private_proxy(user, actor):
    class Stepper(actor):
        def __init__(self):
            super().__init__()
            self.steps = []
            self._in_future = self.actor_ref.proxy()

        def begin(self, n):
            self.steps.append(n)
            if n:
                self._in_future.begin(n - 1)
            return n

    def body():
        proxy = Stepper.start().proxy()
        proxy.begin(3).get()
        until(lambda: proxy.steps.get() == [3, 2, 1, 0])

    user(body)


def test_messages_of_proxies_can_be_sent_by_hand(user, plain):
    def body():
        ref = plain.start()
        assert ref.ask(ProxyCall(attr_path=("add",), args=(2,), kwargs={"b": 2})) == 4
        assert ref.ask(ProxyGetAttr(attr_path=("colour",))) == "red"
        assert ref.ask(ProxySetAttr(attr_path=("colour",), value="grey")) is None
        assert ref.proxy().colour.get() == "grey"

    user(body)


# -- futures


def test_a_future_can_be_got_many_times_and_set_once(user, actor):
    def body():
        future = actor._create_future()
        future.set("value")
        assert (future.get(), future.get()) == ("value", "value")
        with pytest.raises(queue.Full):
            future.set("again")
        with pytest.raises(queue.Full):
            future.set_get_hook(lambda timeout: 1)

    user(body)


def test_set_without_a_value_is_none(user, actor):
    def body():
        future = actor._create_future()
        future.set()
        assert future.get() is None

    user(body)


def test_set_exception_takes_the_current_one_or_a_tuple(user, actor):
    def body():
        current, given = actor._create_future(), actor._create_future()
        try:
            raise NameError("current")
        except NameError:
            current.set_exception()
        with pytest.raises(NameError, match="current"):
            current.get()
        given.set_exception((KeyError, KeyError("given"), None))
        with pytest.raises(KeyError, match="given"):
            given.get()

    user(body)


def test_get_times_out(user, actor):
    def body():
        with pytest.raises(Timeout, match=r"0\.01 seconds"):
            actor._create_future().get(timeout=0.01)

    user(body)


def test_a_get_hook_makes_the_value_once(user, actor):
    def body():
        calls = []
        future = actor._create_future()
        future.set_get_hook(lambda timeout: calls.append(timeout) or "made")
        assert (future.get(timeout=3), future.get()) == ("made", "made")
        assert calls == [3]
        with pytest.raises(queue.Full):
            future.set(1)

    user(body)


def test_filter_map_join_and_reduce(user, actor):
    def body():
        numbers, word = actor._create_future(), actor._create_future()
        numbers.set(range(5, 15))
        word.set("abc")
        assert numbers.filter(lambda n: n > 12).get() == [13, 14]
        assert word.map(len).get() == 3
        assert numbers.map(sum).get() == 95
        assert word.join(numbers.map(max)).get() == ["abc", 14]
        assert numbers.reduce(lambda a, b: a + b).get() == 95
        assert numbers.reduce(lambda a, b: a + b, 5).get() == 100
        assert numbers.filter(lambda n: n > 99).reduce(lambda a, b: a + b, 1).get() == 1

    user(body)


def test_combinators_of_what_is_not_iterable_fail_at_get(user, actor):
    def body():
        one = actor._create_future()
        one.set(1)
        filtered, reduced = one.filter(bool), one.reduce(max)
        for future in (filtered, reduced):
            with pytest.raises(TypeError):
                future.get()

    user(body)


def test_get_all_waits_for_all(user, plain):
    def body():
        proxy = plain.start().proxy()
        assert pykka.get_all([proxy.add(n) for n in range(5)]) == [1, 2, 3, 4, 5]
        with pytest.raises(Timeout):
            pykka.get_all([plain._create_future()], timeout=0.01)

    user(body)


# -- the registry


def test_the_registry_finds_by_urn_class_and_name(user, plain, actor):
    class Sub(plain):
        pass

    class Other(actor):
        pass

    def body():
        one, sub, other = plain.start(), Sub.start(), Other.start()
        assert ActorRegistry.get_all() == [one, sub, other]
        assert ActorRegistry.get_by_urn(sub.actor_urn) is sub
        assert ActorRegistry.get_by_urn("urn:nobody") is None
        assert ActorRegistry.get_by_class(plain) == [one, sub]
        assert ActorRegistry.get_by_class_name("Sub") == [sub]
        one.stop()
        assert ActorRegistry.get_all() == [sub, other]

    user(body)


@pytest.mark.parametrize("target", ["everyone", "class", "name"])
def test_broadcast(user, plain, actor, target):
    class Other(plain):
        pass

    class Third(actor):
        def on_receive(self, message):
            pass

    def body():
        traces: list[Any] = [[], []]
        refs = [plain.start(traces[0]), Other.start(traces[1]), Third.start()]
        ActorRegistry.broadcast("news", {"everyone": None, "class": Other, "name": "Other"}[target])
        for ref in refs:
            ref.ask("sync")
        heard = [("message", "news") in trace for trace in traces]
        assert heard == [target == "everyone", True]

    user(body)


def test_stop_all_stops_the_last_started_first(user, plain):
    def body():
        order: list[int] = []

        class Ordered(plain):
            def __init__(self, n):
                super().__init__()
                self.n = n

            def on_stop(self):
                order.append(self.n)

        for n in range(4):
            Ordered.start(n)
        assert ActorRegistry.stop_all(timeout=5) == [True] * 4
        assert order == [3, 2, 1, 0]
        assert ActorRegistry.get_all() == []
        assert ActorRegistry.stop_all() == []

    user(body)


def test_stop_all_without_blocking_gives_futures(user, plain):
    def body():
        plain.start()
        (future,) = ActorRegistry.stop_all(block=False)
        assert future.get(timeout=5) is True

    user(body)


# -- logging


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Any:
    logging.getLogger("pykka").propagate = True
    caplog.set_level(logging.DEBUG, "pykka")
    return lambda level: [record.getMessage() for record in caplog.records if record.levelno == level]


def test_starts_and_stops_are_logged_at_debug(user, plain, logged):
    def body():
        plain.start().stop()

    user(body)
    messages = " / ".join(logged(logging.DEBUG))
    for words in ("Starting Plain", "Registered Plain", "Unregistered Plain", "Stopped Plain"):
        assert words in messages


def test_an_exception_returned_to_its_caller_is_logged_at_info(user, plain, logged):
    def body():
        with pytest.raises(ValueError):
            plain.start().ask("fail")

    user(body)
    assert any("Exception returned from Plain" in message for message in logged(logging.INFO))
    assert logged(logging.ERROR) == []


def test_an_unhandled_exception_is_logged_at_error(user, plain, logged):
    def body():
        ref = plain.start()
        ref.tell("fail")
        until(lambda: not ref.is_alive())
        until(lambda: logged(logging.ERROR))

    user(body)
    assert any("Unhandled exception in Plain" in message for message in logged(logging.ERROR))
