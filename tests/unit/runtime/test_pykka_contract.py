"""What we rely on in pykka's private parts. If one of these fails, look at what pykka changed before anything else."""

import inspect
import threading

import pykka
from pykka import Actor, ActorProxy, ActorRegistry
from pykka import ActorRef as PykkaRef
from pykka._envelope import Envelope as PykkaEnvelope
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from actors.runtime import TrioFuture
from actors.runtime._envelope import Envelope
from actors.runtime._flag import Flag
from actors.runtime._registry import RefSet


class Plain(pykka.ThreadingActor):
    use_daemon_thread = True


def test_actor_init_sets_only_what_trio_actor_sets_too():
    assert set(vars(Plain())) == {"actor_urn", "actor_inbox", "actor_stopped", "_actor_ref"}


def test_a_ref_copies_only_what_we_give_it():
    assert set(vars(Plain().actor_ref)) == {
        "_actor_weakref",
        "actor_class",
        "actor_urn",
        "actor_inbox",
        "actor_stopped",
    }


def test_the_extension_points_are_there():
    for name in (
        "_create_actor_inbox",
        "_create_future",
        "_start_actor_loop",
        "_stop",
        "_handle_failure",
        "_handle_receive",
    ):
        assert callable(getattr(Actor, name))
    assert list(inspect.signature(Actor._handle_receive).parameters) == ["self", "message"]


def test_start_registers_and_then_starts_the_loop():
    source = inspect.getsource(Actor.start)
    assert source.index("ActorRegistry.register(") < source.index("_start_actor_loop()")


def test_the_registry_uses_its_list_only_in_ways_the_ref_set_knows():
    assert isinstance(ActorRegistry._actor_refs, RefSet)
    source = inspect.getsource(ActorRegistry)
    uses = {line.strip() for line in source.splitlines() if "_actor_refs" in line and "lock" not in line}
    assert uses == {
        "_actor_refs: ClassVar[list[ActorRef[Any]]] = []",
        "return cls._actor_refs[:]",
        "for ref in cls._actor_refs",
        "refs = [ref for ref in cls._actor_refs if ref.actor_urn == actor_urn]",
        "cls._actor_refs.append(actor_ref)",
        "if actor_ref in cls._actor_refs:",
        "cls._actor_refs.remove(actor_ref)",
    }


def test_messages_and_envelopes_are_as_we_know_them():
    assert ProxyCall._fields == ("attr_path", "args", "kwargs")
    assert ProxyGetAttr._fields == ("attr_path",)
    assert ProxySetAttr._fields == ("attr_path", "value")
    assert _ActorStop()._fields == ()
    assert PykkaEnvelope.__slots__ == ["message", "reply_to"]
    assert isinstance(Envelope("x"), PykkaEnvelope)


def test_a_future_without_pykkas_init_has_what_pykkas_methods_read():
    assert set(vars(pykka.Future())) == {"_get_hook", "_get_hook_result"}
    assert TrioFuture()._get_hook is None
    assert type(TrioFuture()._get_hook_result) is type(pykka.Future()._get_hook_result)


def test_the_proxy_reads_its_actor_through_one_attribute():
    assert "self._actor = actor" in inspect.getsource(ActorProxy.__init__)
    assert "actor_ref._actor_weakref()" in inspect.getsource(ActorProxy.__init__)
    assert "self.ask(_ActorStop(), block=False)" in inspect.getsource(PykkaRef.stop)


def test_a_flag_is_an_event_for_those_who_wait():
    flag = Flag()
    assert isinstance(flag, threading.Event)
    assert not flag.wait(0.001)
    threading.Timer(0.01, flag.set).start()
    assert flag.wait(5)
    assert flag.is_set()
    early = Flag()
    early.set()
    assert early.wait(0)
