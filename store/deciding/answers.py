"""Allows of people that count towards an allow: who may answer, and how many have.

Counted in the transaction of the decision. Each count reads roles and accounts anew: an allow of a person who has lost
their role since counts no more.
"""

from sqlalchemy import ColumnElement, Connection, delete, select

from townwatch.contracts.answers import AnswerDiffers, Answerer, AnswerRefused, Counted
from townwatch.contracts.policy import AnswerTerms
from townwatch.store import members, sessions
from townwatch.store.rows import upsert
from townwatch.store.tables import approval_answers, approvals, members as members_table, users


def count(
    connection: Connection,
    village_id: str,
    session_id: str,
    approval_id: str,
    terms: AnswerTerms,
    person: Answerer,
    now_ms: int,
) -> Counted:
    """Count a person's allow. Raises `AnswerRefused`.

    Where it is not known who started the session, and that person's allow would not count, one person more is needed:
    of so many different people at most one can be who started it.
    """
    # The row is the lock: of two processes that count at once, the second sees the first one's allow.
    connection.execute(select(approvals.c.approval_id).where(_of(session_id, approval_id)).with_for_update())
    starter = sessions.starter_of(connection, session_id)
    _check(connection, village_id, terms, person, starter)
    valid = _valid(connection, village_id, session_id, approval_id, terms, starter)
    if any(given != person.given for user_id, _, given in valid if user_id != person.user_id):
        raise AnswerDiffers(
            "the allow that counts so far has other answers or another input than this one: "
            "give the same, or deny it so that the agent asks again"
        )
    values = {"session_id": session_id, "approval_id": approval_id, "user_id": person.user_id, "name": person.name}
    upsert(
        connection,
        approval_answers,
        {**values, "signed_in": person.signed_in, "given": person.given, "at_ms": now_ms},
        keep=["at_ms"],
    )
    valid = _valid(connection, village_id, session_id, approval_id, terms, starter)
    return Counted(names=tuple(name for _, name, _ in valid), needed=needed(terms, starter))


def needed(terms: AnswerTerms, starter: str | None) -> int:
    """Return how many people have to allow it."""
    return terms.people + (terms.not_starter and starter is None)


def forget(connection: Connection, session_id: str, approval_id: str) -> None:
    """Drop the allows of an approval: it begins anew."""
    where = (approval_answers.c.session_id == session_id) & (approval_answers.c.approval_id == approval_id)
    connection.execute(delete(approval_answers).where(where))


def names_of(connection: Connection, session_id: str, approval_id: str) -> list[str]:
    """Return the names of those who have allowed, the first one first."""
    query = select(approval_answers.c.name).where(
        approval_answers.c.session_id == session_id, approval_answers.c.approval_id == approval_id
    )
    return list(connection.execute(query.order_by(approval_answers.c.at_ms, approval_answers.c.user_id)).scalars())


def _check(connection: Connection, village_id: str, terms: AnswerTerms, person: Answerer, starter: str | None) -> None:
    """Raise `AnswerRefused` where this person's allow cannot count."""
    if terms.human and not person.signed_in:
        raise AnswerRefused("a rule wants a person who has signed in: a program's token cannot allow this")
    if terms.not_starter and starter is not None and starter == person.user_id:
        raise AnswerRefused("you started this session, and a rule wants the allow of another person")
    role = members.role_of(connection, village_id, person.user_id)
    if role is None or (terms.role == "owner" and role != "owner"):
        raise AnswerRefused(f"a rule wants the allow of an {terms.role} of the village; you are {role or 'no member'}")


def _valid(
    connection: Connection, village_id: str, session_id: str, approval_id: str, terms: AnswerTerms, starter: str | None
) -> list[tuple[str, str, str]]:
    """Return (user, name, given) of the allows that count now, the first one first."""
    answer = approval_answers.c
    member = (members_table.c.user_id == answer.user_id) & (members_table.c.village_id == village_id)
    joined = approval_answers.join(members_table, member).join(users, users.c.user_id == answer.user_id)
    roles = ("owner",) if terms.role == "owner" else ("owner", "operator")
    query = select(answer.user_id, answer.name, answer.given).select_from(joined)
    query = query.where(answer.session_id == session_id, answer.approval_id == approval_id)
    query = query.where(members_table.c.role.in_(roles), users.c.disabled.is_(False))
    if terms.human:
        query = query.where(answer.signed_in)
    if terms.not_starter and starter is not None:
        query = query.where(answer.user_id != starter)
    return [
        (user, name, given) for user, name, given in connection.execute(query.order_by(answer.at_ms, answer.user_id))
    ]


def _of(session_id: str, approval_id: str) -> ColumnElement[bool]:
    return (approvals.c.session_id == session_id) & (approvals.c.approval_id == approval_id)
