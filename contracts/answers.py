"""Allows of people, as the tables and the actors speak of them: who gives one, how far it is, why it does not count."""

import attrs


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
