"""Place where a session begins: its repository, from files alone and within a moment, for nothing may delay the
command.
"""

from functools import partial
from pathlib import Path

import attrs
import trio

from townwatch.contracts.events import RepoRef
from townwatch.runner.observers import repository
from townwatch.runner.observers.repository import Repository
from townwatch.runner.reading import as_acting

LOOK_SECONDS = 0.1
"""A disk that takes longer to say which repository this is gets no answer in time: the directory is named instead."""


@attrs.frozen
class SessionPlace:
    """`commit`: what is checked out; None where it is not known. `known`: whether it was found out where it is; else
    `repo_ref` names the directory alone.
    """

    repository: Repository | None = None
    repo_ref: RepoRef | None = None
    commit: str | None = None
    known: bool = True


async def look(directory: Path) -> SessionPlace:
    """The place of a directory that is there."""
    with trio.move_on_after(LOOK_SECONDS):
        return await trio.to_thread.run_sync(partial(_look, directory), abandon_on_cancel=True)
    return SessionPlace(repo_ref=repository.repo_ref(directory, None), known=False)


def _look(directory: Path) -> SessionPlace:
    try:
        with as_acting():
            found = repository.find(directory)
            commit = repository.head_commit(found) if found is not None else None
            return SessionPlace(found, repository.repo_ref(directory, found), commit)
    except (OSError, ValueError):
        return SessionPlace(repo_ref=repository.repo_ref(directory, None), known=False)
