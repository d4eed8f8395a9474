"""What we rely on in pykka's private parts. If one of these fails, look at what pykka changed before anything else."""

import inspect
import threading

import pykka
from pykka import Actor, ActorProxy, ActorRef as PykkaRef
from pykka._envelope import Envelope as PykkaEnvelope
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from townwatch.runtime import TrioFuture
from townwatch.runtime._future import Flag
from townwatch.runtime._messages import Envelope


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
