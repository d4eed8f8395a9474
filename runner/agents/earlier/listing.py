"""List the conversations that the agents' CLIs of this machine keep, so that one can be gone on with from afar."""

import shutil
import sqlite3
from collections.abc import Mapping

import structlog

from townwatch.contracts.lists import MOST_CONVERSATIONS, Conversations, OutsideConversation, UnreadConversations
from townwatch.contracts.tasks import CONVERSATION_NAME
from townwatch.runner.agents import catalog
from townwatch.runner.agents.earlier.files import CannotTell, FoundConversation
from townwatch.runner.agents.earlier.stores import STORES
from townwatch.runner.reading import as_acting
from townwatch.runner.session.redact import Redactor, secrets_of

log = structlog.get_logger("agents")

LONGEST_PATH = 4096


def conversations(env: Mapping[str, str]) -> Conversations:
    """Return what the CLIs on the path of this environment keep, the newest first. Blocking: call it in a thread. A
    store that cannot be read is named with the reason.
    """
    redactor = Redactor(secrets_of(env))
    found: list[OutsideConversation] = []
    unknown: list[UnreadConversations] = []
    with as_acting():
        for provider, read in STORES.items():
            if shutil.which(catalog.PROGRAMS[provider], path=env.get("PATH")) is None:
                continue
            try:
                found += [_told(provider, one, redactor) for one in read(env) if _can_be_told(one)]
            except (OSError, CannotTell, UnicodeError, sqlite3.Error) as error:
                reason = redactor.clean(str(error))[:500]
                log.debug("conversations_unknown", provider=provider, reason=reason)
                unknown.append(UnreadConversations(provider_id=provider, reason=reason))
    found.sort(key=lambda one: one.at, reverse=True)
    shown = found[:MOST_CONVERSATIONS]
    return Conversations(conversations=shown, unknown=unknown, truncated=len(shown) < len(found))


def _can_be_told(one: FoundConversation) -> bool:
    """Return whether a start could name it: an absolute path in text, a name that is no option of the CLI."""
    path = one.directory
    named = CONVERSATION_NAME.fullmatch(one.name) is not None
    return named and path.startswith("/") and len(path) <= LONGEST_PATH and path.isprintable()


def _told(provider: str, one: FoundConversation, redactor: Redactor) -> OutsideConversation:
    title = None if one.title is None else redactor.clean(one.title)[:200]
    at = max(0, int(one.at * 1000))
    return OutsideConversation(provider_id=provider, conversation=one.name, path=one.directory, at=at, title=title)
