"""Allows of people, as the tables and the actors speak of them: who gives one, how far it is, why it does not count,
and what of an answer can be given from afar at all.
"""

from typing import Any, Literal, cast

import attrs

AllowFromAfar = Literal["plain", "option", "no"]
NoteFromAfar = Literal["any", "deny", "no"]
IN_ITS_TERMINAL = "it is allowed in the agent's own terminal only"


class AnswerRefused(Exception):
    """This person's allow does not count; the message says why. Nothing was decided."""


class AnswerDiffers(AnswerRefused):
    """The allows that count so far are for something else."""


@attrs.frozen(kw_only=True)
class Answerer:
    """The person who answers. `signed_in`: by a sign-in of this service, not by a program's token. `given`: a digest of
    what goes to the agent with the answer.
    """

    user_id: str
    name: str
    signed_in: bool
    given: str = ""


@attrs.frozen(kw_only=True)
class Counted:
    """Progress of an allow: the names of those whose allow counts, and how many it takes."""

    names: tuple[str, ...]
    needed: int

    @property
    def enough(self) -> bool:
        return len(self.names) >= self.needed

    def __str__(self) -> str:
        """Return it for people: ``1 of 2, by Ann``."""
        return f"{len(self.names)} of {self.needed}" + (f", by {', '.join(self.names)}" if self.names else "")


@attrs.frozen(kw_only=True)
class FromAfar:
    """What may be said to a question elsewhere than where it was asked: `context.fromAfar` of an approval, left out
    where everything may. A denial always may, and one that stops the session.

    `allow`: plainly, only by one of the agent's own options, or not at all. `note`: with which decisions the agent is
    told it. `changed_input`: whether an allow may change the input. `why`: for people, where something may not.
    """

    allow: AllowFromAfar = "plain"
    note: NoteFromAfar = "any"
    changed_input: bool = True
    why: str = ""

    @classmethod
    def of(cls, context: Any) -> "FromAfar":
        """Read an approval's context. What is odd in it takes nothing away: its runner is the judge."""
        known = cast(dict[str, Any], context) if isinstance(context, dict) else {}
        given = known.get("fromAfar")
        told = cast(dict[str, Any], given) if isinstance(given, dict) else {}
        allow: Any = told.get("allow")
        note: Any = told.get("note")
        why = told.get("why")
        return cls(
            allow=allow if allow in ("option", "no") else "plain",
            note=note if note in ("deny", "no") else "any",
            changed_input=told.get("changedInput") is not False,
            why=why if isinstance(why, str) else "",
        )

    def told(self) -> dict[str, Any] | None:
        """Return it as it stands in the context; None where everything may be said."""
        if self == FromAfar():
            return None
        return {
            "allow": self.allow,
            "note": self.note,
            "changedInput": self.changed_input,
            **({"why": self.why} if self.why else {}),
        }

    def refusal(self, decision: str, option_id: str | None, updated_input: Any) -> str | None:
        """Return why this decision cannot be given from here; None where it can."""
        if decision != "allow":
            return None
        if self.allow == "no":
            return f"{self.why or IN_ITS_TERMINAL}; a no can be given from here"
        if self.allow == "option" and option_id is None:
            return "the agent offers no answer that allows this once; choose one of its own options"
        if updated_input is not None and not self.changed_input:
            return "this agent runs what it asked about or nothing: it takes no changed input"
        return None
