"""One incarnation of an actor: start, serve, end. This is what pykka calls the actor loop."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import CoroutineType, TracebackType
from typing import Any, ClassVar, Literal, Protocol, cast

import trio
from pykka import ActorDeadError

from townwatch.runtime import dead_letters, telemetry
from townwatch.runtime._future import Flag, TrioFuture
from townwatch.runtime._mailbox import Mailbox
from townwatch.runtime._messages import INTERNAL, ActorStop, Envelope, System
from townwatch.runtime._reasons import KILLED, NORMAL, SHUTDOWN, Reason, Shutdown, describe, root_cause
from townwatch.runtime._ref import ActorRef

logger = logging.getLogger("pykka")  # what pykka documents to be logged, where pykka documents it

Lifespan = Callable[[], AbstractAsyncContextManager[None] | AsyncGenerator[None, None]]
"""An actor's `lifespan()`: a context manager, or an async generator that yields once."""


class Behavior(Protocol):
    """The settings and hooks of an actor that its incarnation uses."""

    expected_errors: ClassVar[tuple[type[Exception], ...]]
    message_in_hand: ClassVar[Literal["drop", "retry", "dead_letter"]]
    redeliveries: ClassVar[int]
    batch_size: ClassVar[int]
    hibernate: ClassVar[bool]
    stop_grace: ClassVar[float]

    @property
    def actor_inbox(self) -> Mailbox: ...
    @property
    def actor_stopped(self) -> Flag: ...
    @property
    def actor_ref(self) -> ActorRef[Any]: ...
    def on_start(self) -> Awaitable[None] | None: ...
    def on_stop(self) -> Awaitable[None] | None: ...
    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Awaitable[None] | None: ...
    def on_gone(self) -> None: ...
    def on_receive(self, message: Any) -> Any: ...
    def state_summary(self) -> dict[str, Any]: ...
    def _handle_receive(self, message: Any) -> Any: ...
    def _handle_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Trace(Protocol):
    """A tracer, which an incarnation tells about the messages that it handles."""

    def begin(self, envelope: Envelope) -> None: ...
    def end(self, outcome: str) -> None: ...


async def await_if_coroutine(result: Any) -> Any:
    """Await the coroutine of an `async def`; return anything else as it is, also a future, which could be awaited."""
    return await cast("Any", result) if type(result) is CoroutineType else result


def _as_context(made: Any, actor: Behavior) -> AbstractAsyncContextManager[None]:
    """Make what `lifespan()` returned a context manager. Raises TypeError when it cannot be one."""
    if isinstance(made, AsyncGenerator):
        return asynccontextmanager(lambda: cast("AsyncGenerator[None, None]", made))()
    if isinstance(made, AbstractAsyncContextManager):
        return cast("AbstractAsyncContextManager[None]", made)
    if isinstance(made, CoroutineType):
        made.close()
    raise TypeError(f"{type(actor).__name__}.lifespan() must yield once, or return an async context manager")


class Incarnation:
    """The state of one incarnation, and the loop that its task runs."""

    __slots__ = (
        "_links", "actor", "exit_reason", "hibernating", "in_hand", "in_hand_since", "last_message", "later",
        "lifespan", "reason", "scope", "serving", "stop_reason", "supervised", "tracer", "waker",
    )  # fmt: skip

    def __init__(self, actor: Behavior, supervised: bool, lifespan: Lifespan | None) -> None:
        self.actor = actor
        self.lifespan = lifespan
        """surrounds it; None where the class has none of its own"""
        self.supervised = supervised
        self.serving = False
        """`on_start()` has returned, and the end has not come"""
        self.waker: Callable[[], None] | None = None
        """starts a task that lives on; without it the actor never sleeps"""
        self.hibernating = False
        """nothing waits, and there is no task"""
        self.in_hand: Envelope | None = None
        self.in_hand_since = 0.0
        self.last_message: str | None = None
        """type of the message in hand when it crashed"""
        self.reason: Reason = NORMAL
        """why it ended, once it has"""
        self.stop_reason: Reason = NORMAL
        self.exit_reason: Reason | None = None
        self.scope: trio.CancelScope | None = None
        self.tracer: Trace | None = None
        self._links: dict[ActorRef[Any], None] | None = None
        self.later: set[TrioFuture[Any]] | None = None
        """replies that handlers promised to give after they returned"""

    # -- from start to end

    async def run(self, started: Callable[[], None] = lambda: None) -> Reason:
        """Run the incarnation and return why it ended; cancellation from outside passes through.

        Never raises an Exception. An actor that hibernates has not ended (`hibernating`): `waker` has to run it again.

        Args:
            started: called when `on_start()` has returned.
        """
        self.reason, self.hibernating = KILLED, False  # what it stays if none of the following gets to its end
        try:
            with trio.CancelScope(shield=self.serving) as self.scope:
                if self.exit_reason is not None:
                    self.scope.cancel()
                live = self._live if self.lifespan is None else self._live_within
                self.reason = await live(started)
            if self.scope.cancelled_caught:
                self.reason = await self._cancelled(self.exit_reason or KILLED)
            return self.reason
        finally:
            if self.hibernating:
                self.scope = None
            else:
                self._ended()

    async def _live_within(self, started: Callable[[], None]) -> Reason:
        """Run inside the actor's `lifespan()`. What that raises, or a task that it owns, is a crash."""
        assert self.lifespan is not None
        try:
            async with _as_context(self.lifespan(), self.actor):
                self.reason = await self._live(started)
            return self.reason
        except Exception as error:
            if not isinstance(self.reason, BaseException) or isinstance(self.reason, Shutdown):
                return await self._crashed(root_cause(error))
            self.actor._handle_failure(type(error), error, error.__traceback__)
            return self.reason  # what it crashed with first

    async def _live(self, started: Callable[[], None]) -> Reason:
        actor = self.actor
        try:
            if not self.serving:
                await await_if_coroutine(actor.on_start())
                self.serving = True
                if telemetry.listening():
                    telemetry.emit("started", **self.identity())
                started()
            return await self._serve()
        except Exception as error:
            return await self._crashed(root_cause(error))
        except BaseException as error:
            self._fail_in_hand(None)
            if self.exit_reason is None:
                await self._end_with_world(error)
            raise

    async def _serve(self) -> Reason:
        """Handle messages until stopped, or until it sleeps: a batch between two checkpoints, one message at a time."""
        self.stop_reason = NORMAL
        actor = self.actor
        mailbox, stopped, batch = actor.actor_inbox, actor.actor_stopped, actor.batch_size
        waker = self.waker
        while True:
            if waker is not None and self.exit_reason is None and mailbox.hibernate(waker):
                self.hibernating = True
                return self.stop_reason
            await mailbox.wait_for_message()
            for _ in range(batch):
                if mailbox.stop_asked:
                    return await self.stop(SHUTDOWN)
                envelope = mailbox.take()
                if envelope is None:
                    break
                self.in_hand = envelope
                if self.tracer is not None:
                    self.tracer.begin(envelope)
                try:
                    message = envelope.message
                    internal = type(message) in INTERNAL
                    reply: Any = actor._handle_receive(message) if internal else actor.on_receive(message)
                    if type(reply) is CoroutineType:
                        self.in_hand_since = mailbox.now()
                        reply = await cast("Any", reply)
                except Exception as error:
                    self._failed(envelope, error)
                else:
                    if envelope.reply_to is not None and reply is not envelope.reply_to:
                        envelope.reply_to.set(reply)
                self.in_hand = None
                if self.tracer is not None:
                    self.tracer.end("ok")
                if stopped.is_set():
                    return self.stop_reason

    def _failed(self, envelope: Envelope, error: Exception) -> None:
        """Turn what a handler raised into an answer for the asker, or into a crash."""
        if self.tracer is not None:
            self.tracer.end(describe(error))
        answer = isinstance(error, self.actor.expected_errors) and not isinstance(error, Shutdown)
        if envelope.reply_to is None or not answer:
            raise error
        logger.info("Exception returned from %s to caller:", self.actor, exc_info=error)
        envelope.fail(error)

    # -- ways to end

    async def stop(self, reason: Reason) -> Reason:
        """End in order: take nothing more in, then run `on_stop()`. Returns the reason, or what `on_stop()` raised."""
        actor = self.actor
        self._close(reason)
        logger.debug("Stopped %s", actor)
        try:
            await await_if_coroutine(actor.on_stop())
        except Exception as error:
            reason = root_cause(error)
            actor._handle_failure(type(error), error, error.__traceback__)
        self.stop_reason = reason
        return reason

    async def _end_with_world(self, error: BaseException) -> None:
        """Run `on_stop()` when the world ends, or a KeyboardInterrupt or the like ends everything."""
        cancelled = isinstance(root_cause(error), trio.Cancelled)
        if not cancelled:
            logger.debug("%r in %s. Stopping all actors.", error, self.actor)
        if self.serving and not self.actor.actor_stopped.is_set():
            with trio.move_on_after(self.actor.stop_grace, shield=True):
                await self.stop(SHUTDOWN)
        self.reason = SHUTDOWN if cancelled else error

    async def _crashed(self, error: BaseException) -> Reason:
        actor, was_serving = self.actor, self.serving and not self.actor.actor_stopped.is_set()
        self._fail_in_hand(error)
        if isinstance(error, Shutdown):
            return await self.stop(error) if was_serving else error
        self._close(error)
        actor._handle_failure(type(error), error, error.__traceback__)
        if was_serving:
            await self._on_failure(error)
        return error

    async def _cancelled(self, reason: Reason) -> Reason:
        """End after an exit signal, or a deadline that was ignored, cancelled the incarnation."""
        was_stopping = self.actor.actor_stopped.is_set()
        self._close(reason)
        if not self.serving or was_stopping or reason == KILLED:
            return reason
        with trio.move_on_after(self.actor.stop_grace):
            if isinstance(reason, BaseException) and not isinstance(reason, Shutdown):
                self.actor._handle_failure(type(reason), reason, reason.__traceback__)
                await self._on_failure(reason)
            else:
                reason = await self.stop(reason)
        return reason

    async def _on_failure(self, error: BaseException) -> None:
        try:
            await await_if_coroutine(self.actor.on_failure(type(error), error, error.__traceback__))
        except Exception as second:
            self.actor._handle_failure(type(second), second, second.__traceback__)

    def _close(self, reason: Reason) -> None:
        """Take nothing more in. As in pykka, the actor is dead for all others before its last hook runs."""
        self.actor.actor_stopped.set()
        if not self.supervised:
            self.actor.actor_ref.close(reason)

    def _ended(self) -> None:
        reason, self.serving = self.reason, False
        try:
            self.actor.on_gone()
        except Exception as error:
            self.actor._handle_failure(type(error), error, error.__traceback__)
        if isinstance(reason, str | Shutdown):
            telemetry.emit("stopped", **self.identity(), reason=describe(reason))
        elif not self.supervised:
            telemetry.emit("crashed", **self.identity(), reason=describe(reason), error=type(reason).__name__)
        if not self.supervised:
            self.actor.actor_ref.retire(reason)
        for future in self.later or ():
            future.fail(ActorDeadError(f"{self.actor.actor_ref} ended before it replied ({describe(reason)})"))
        links, self._links = self._links or (), None
        for ref in links:
            ref.unlink(self.actor.actor_ref)
            ref.exit(reason, self.actor.actor_ref)

    def _fail_in_hand(self, error: BaseException | None) -> None:
        """Do what the class chose for the message in hand at a crash (`error`) or a cancellation (None)."""
        envelope, self.in_hand = self.in_hand, None
        if envelope is None:
            return None
        self.last_message = type(envelope.message).__name__
        actor, ref, mailbox = self.actor, self.actor.actor_ref, self.actor.actor_inbox
        if isinstance(envelope.message, ActorStop):
            if envelope.reply_to is not None:
                envelope.reply_to.set(None)
            return None
        told = error or ActorDeadError(f"{ref} was stopped while handling the message")
        if isinstance(envelope.message, System):
            return envelope.fail(told)
        mailbox.handled -= 1
        if actor.message_in_hand == "retry" and self.supervised and envelope.crashes < actor.redeliveries:
            envelope.crashes += 1
            return mailbox.put_back(envelope)
        envelope.fail(told)
        if actor.message_in_hand == "drop":
            mailbox.drop_in_hand(envelope)
        else:
            mailbox.dead += 1
            dead_letters.post(envelope.message, ref.label, "retried" if envelope.crashes else "crashed")
        return None

    # -- from outside

    @property
    def links(self) -> dict[ActorRef[Any], None]:
        """Actors that fail together with this incarnation, in the order linked: a set has another each time."""
        if self._links is None:
            self._links = {}
        return self._links

    def reply_later(self) -> TrioFuture[Any]:
        """See `TrioActor.reply_later()`."""
        promised = self.in_hand.reply_to if self.in_hand is not None else None
        if promised is None:
            return TrioFuture()
        self.later = {future for future in self.later or () if not future.done} if self.later else set()
        self.later.add(promised)
        return promised

    def cancel(self, reason: Reason) -> None:
        """Cancel this incarnation where it stands, with `reason`. On the loop only. The first reason counts."""
        if self.exit_reason is None:
            self.exit_reason = reason
        if self.scope is not None:
            self.scope.cancel()
        elif self.hibernating:
            self.actor.actor_inbox.wake()

    def state_summary(self) -> dict[str, Any]:
        """Return the actor's outline of its state; a summary that fails must not hide the crash it is for."""
        try:
            return self.actor.state_summary()
        except Exception as error:
            return {"state_summary": describe(error)}

    def identity(self) -> dict[str, Any]:
        """Return the fields that name it in telemetry: actor (the class), path, urn, incarnation."""
        ref = self.actor.actor_ref
        return {
            "actor": type(self.actor).__name__,
            "path": ref.path,
            "urn": ref.actor_urn,
            "incarnation": ref.incarnation,
        }
