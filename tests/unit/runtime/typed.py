"""What a type checker must see in calls, addresses and proxies. test_typing.py has basedpyright look at this file."""

from collections.abc import Awaitable
from typing import Any, Protocol, assert_type

import attrs

from townwatch.runtime import ActorRef, Ask, TrioActor, TrioFuture, whereis
from townwatch.supervision import ChildCount, ChildInfo, ChildSpec, StartChild, Supervisor


@attrs.frozen
class Balance(Ask[int]):
    owner: str


class Account(TrioActor):
    def on_receive(self, message: Balance) -> int:
        return len(message.owner)

    def deposit(self, amount: int) -> int:
        return amount


class AccountProxy(Protocol):
    def deposit(self, amount: int) -> Awaitable[int]: ...


async def use(top: ActorRef[Supervisor]) -> None:
    ref = Account.start()
    assert_type(ref, ActorRef[Account])
    assert_type(await ref.call(Balance("ann")), int)
    assert_type(ref.ask(Balance("ann"), block=False), TrioFuture[int])
    assert_type(await ref.proxy(AccountProxy).deposit(3), int)
    assert_type(whereis("bank/ann", Account), ActorRef[Account] | None)
    assert_type(await Supervisor.child_ref(top, "ann", Account), ActorRef[Account])
    assert_type(await Supervisor.start_child(top, ChildSpec("bob", Account)), ActorRef[Any])
    assert_type(top.ask(StartChild(ChildSpec("cyd", Account)), block=False), TrioFuture[ActorRef[Any]])
    assert_type(await Supervisor.which_children(top), list[ChildInfo])
    assert_type(await Supervisor.count_children(top), ChildCount)
    assert_type(await ref.stop(), bool)
    ref.stop()  # WRONG: reportUnusedCoroutine
    Supervisor.terminate_child(top, "ann")  # WRONG: reportUnusedCoroutine
    number: str = await ref.call(Balance("ann"))  # WRONG: reportAssignmentType
    print(number)
