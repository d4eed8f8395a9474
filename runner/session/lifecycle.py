"""A session's state machine on the runner's side: which state, said once, with its reason (CONTRACT section 1)."""

import attrs

from townwatch.contracts.events import FINAL_STATES, State, is_transition


class NotPossible(Exception):
    """The session cannot go there from where it is. `code`, `details`: what the result of the command says."""

    code = "NOT_POSSIBLE"
    details: object = None


class Waiting(NotPossible):
    """Text that could answer a dialog by accident: the agent waits for a person's decision."""

    code = "WAITING"


class NothingToShow(NotPossible):
    """There is no text of changes."""

    code = "NOT_CHANGED"


class AdapterOff(Exception):
    """An agent's adapter cannot go on (an unknown shape, a channel that broke); the message says why. The session goes
    on as a plain terminal.
    """


@attrs.define
class Lifecycle:
    """State of a session. `waiting` are its open approvals: RUNNING comes back when none is."""

    state: State = "CREATED"
    reason: str | None = None
    waiting: set[str] = attrs.field(factory=set[str])

    @property
    def ended(self) -> bool:
        return self.state in FINAL_STATES

    def go(self, new: State) -> tuple[State, State] | None:
        """(previous, new), or None where it is there already. Raises `NotPossible`."""
        if new == self.state:
            return None
        if not is_transition(self.state, new):
            raise NotPossible(f"a session that is {self.state} cannot become {new}")
        previous, self.state = self.state, new
        return previous, new

    def idle_state(self) -> State:
        """Return a live, unpaused session's state: waiting while an approval is open, else running."""
        return "WAITING_FOR_APPROVAL" if self.waiting else "RUNNING"

    def path_to_end(self, ok: bool) -> list[State]:
        """The lawful steps to COMPLETED or FAILED from here."""
        final: State = "COMPLETED" if ok else "FAILED"
        if is_transition(self.state, final):
            return [final]
        return ["STOPPING", final]
