"""Small, numbered, forward migrations. Each runs once, in a transaction, at the start of the service.

The statements are written for SQLite and PostgreSQL alike; ``{auto}`` is each one's self-numbering key. A migration
that was released is never edited: what is wrong with it is mended by the next one.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, inspect, text

from townwatch.contracts.faults import TablesRefused

SCOPED_IDS = (
    """CREATE TABLE agents_of_villages (
      village_id TEXT NOT NULL REFERENCES villages (village_id) ON DELETE CASCADE, agent_id TEXT NOT NULL,
      house_id TEXT, session_id TEXT, name TEXT NOT NULL, agent_type TEXT NOT NULL, repo_path TEXT NOT NULL,
      created_ms BIGINT NOT NULL, PRIMARY KEY (village_id, agent_id))""",
    """INSERT INTO agents_of_villages
        (village_id, agent_id, house_id, session_id, name, agent_type, repo_path, created_ms)
      SELECT village_id, agent_id, house_id, session_id, name, agent_type, repo_path, created_ms FROM agents""",
    "DROP TABLE agents",
    "ALTER TABLE agents_of_villages RENAME TO agents",
    """CREATE TABLE alert_resolutions (
      session_id TEXT NOT NULL, alert_id TEXT NOT NULL, raised_seq BIGINT NOT NULL, village_id TEXT NOT NULL,
      resolved_by TEXT NOT NULL, resolved_ms BIGINT NOT NULL, PRIMARY KEY (session_id, alert_id, raised_seq))""",
    "CREATE INDEX ix_alert_resolutions_village_id ON alert_resolutions (village_id)",
)
"""Agents are unique in their village, alerts in their session."""

VILLAGE_KEYS = (
    "ALTER TABLE villages ADD COLUMN public_id TEXT NOT NULL DEFAULT ''",
    "UPDATE villages SET public_id = village_id",
    "CREATE UNIQUE INDEX ix_villages_public_id ON villages (public_id)",
    """CREATE TABLE runner_villages (
      runner_id TEXT NOT NULL REFERENCES runners (runner_id) ON DELETE CASCADE,
      village_id TEXT NOT NULL REFERENCES villages (village_id) ON DELETE CASCADE,
      granted_by TEXT, granted_ms BIGINT NOT NULL, PRIMARY KEY (runner_id, village_id))""",
    "CREATE INDEX ix_runner_villages_village_id ON runner_villages (village_id)",
    """INSERT INTO runner_villages (runner_id, village_id, granted_by, granted_ms)
      SELECT r.runner_id, v.village_id, NULL, r.created_ms
      FROM runners r JOIN villages v ON v.village_id = r.village_id""",
    """INSERT INTO runner_villages (runner_id, village_id, granted_by, granted_ms)
      SELECT DISTINCT r.runner_id, m.village_id, CAST(NULL AS TEXT), r.created_ms
      FROM runners r CROSS JOIN members m JOIN users u ON u.user_id = m.user_id
      WHERE r.village_id IS NULL AND m.role = 'owner' AND u.admin""",
    "CREATE TABLE removed_villages (village_id TEXT PRIMARY KEY)",
    "DROP INDEX ix_runners_village_id",
    "ALTER TABLE runners DROP COLUMN village_id",
    # A code for every village is good for none: its holder asks for a new one.
    "DELETE FROM codes WHERE kind = 'enrolment' AND village_id IS NULL",
)
"""Village keys and runner grants. Villages of before keep their name as key.

A runner of one village goes on serving it; one that served every village serves those that an administrator owns, and
no others until they are granted.
"""

FIRST_GENERATION = (
    "DROP TABLE houses",
    "DROP TABLE agents",
    "DROP TABLE settings",
    "DROP INDEX ix_sessions_agent_id",
    "DROP INDEX ix_sessions_runner_id",
    *(
        f"ALTER TABLE sessions DROP COLUMN {name}"
        for name in (
            *("house_id", "workspace_path", "state", "reason", "detached", "exit_code", "last_seq", "last_event_ms"),
            *("started_ms", "ended_ms", "usage", "created_by"),
        )
    ),
    "ALTER TABLE approvals DROP COLUMN timeout_ms",
)
"""Drop what the event log says better. These tables were not written, and these columns never changed after their first
value: a query of them by hand was told that every session is CREATED.
"""

WEBHOOKS = (
    """CREATE TABLE webhooks (
      webhook_id TEXT PRIMARY KEY, village_id TEXT NOT NULL REFERENCES villages ON DELETE CASCADE, name TEXT NOT NULL,
      url TEXT NOT NULL, kinds TEXT NOT NULL, enabled BOOLEAN NOT NULL, secret TEXT NOT NULL, old_secret TEXT,
      old_until_ms BIGINT, from_position BIGINT NOT NULL, dropped INTEGER NOT NULL, trouble TEXT,
      created_by TEXT NOT NULL, created_ms BIGINT NOT NULL)""",
    "CREATE INDEX ix_webhooks_village_id ON webhooks (village_id)",
    """CREATE TABLE webhook_deliveries (
      delivery_id {auto}, webhook_id TEXT NOT NULL REFERENCES webhooks ON DELETE CASCADE, message_id TEXT NOT NULL,
      kind TEXT NOT NULL, session_id TEXT, body TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL,
      created_ms BIGINT NOT NULL, next_ms BIGINT NOT NULL, status INTEGER, error TEXT)""",
    "CREATE UNIQUE INDEX webhook_deliveries_once ON webhook_deliveries (webhook_id, message_id)",
    "CREATE INDEX webhook_deliveries_due ON webhook_deliveries (state, webhook_id, next_ms)",
    "CREATE TABLE webhook_cursor (cursor_id INTEGER PRIMARY KEY, position BIGINT NOT NULL)",
)
"""Webhooks, their deliveries (what waits, what was delivered, dead letters), and how far the event log was read."""

PEOPLES_CALLS = (
    """CREATE TABLE call_deliveries (
      delivery_id {auto}, target_id TEXT NOT NULL, message_id TEXT NOT NULL, kind TEXT NOT NULL, session_id TEXT,
      body TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL, created_ms BIGINT NOT NULL,
      next_ms BIGINT NOT NULL, status INTEGER, error TEXT)""",
    """INSERT INTO call_deliveries (target_id, message_id, kind, session_id, body, state, attempts, created_ms, next_ms,
        status, error)
      SELECT webhook_id, message_id, kind, session_id, body, state, attempts, created_ms, next_ms, status, error
      FROM webhook_deliveries ORDER BY delivery_id""",
    "DROP TABLE webhook_deliveries",
    "CREATE UNIQUE INDEX call_deliveries_once ON call_deliveries (target_id, message_id)",
    "CREATE INDEX call_deliveries_due ON call_deliveries (state, target_id, next_ms)",
    """CREATE TABLE channels (
      channel_id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE, form TEXT NOT NULL,
      name TEXT NOT NULL, shown TEXT NOT NULL, address TEXT NOT NULL, kinds TEXT NOT NULL, villages TEXT NOT NULL,
      after_seconds INTEGER NOT NULL, enabled BOOLEAN NOT NULL, confirm_hash TEXT, confirm_tries INTEGER NOT NULL,
      from_position BIGINT NOT NULL, dropped INTEGER NOT NULL, trouble TEXT, created_ms BIGINT NOT NULL)""",
    "CREATE INDEX ix_channels_user_id ON channels (user_id)",
    """CREATE TABLE call_preferences (
      user_id TEXT PRIMARY KEY REFERENCES users ON DELETE CASCADE, time_zone TEXT NOT NULL, quiet_from INTEGER,
      quiet_until INTEGER, quiet_escalations BOOLEAN NOT NULL, digest_calls INTEGER NOT NULL,
      digest_minutes INTEGER NOT NULL)""",
    """CREATE TABLE village_escalations (
      village_id TEXT PRIMARY KEY REFERENCES villages ON DELETE CASCADE, minutes INTEGER NOT NULL, people TEXT NOT NULL,
      changed_by TEXT NOT NULL, changed_ms BIGINT NOT NULL)""",
    """CREATE TABLE call_links (
      hash TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE, channel_id TEXT NOT NULL,
      village_id TEXT NOT NULL, session_id TEXT NOT NULL, approval_id TEXT NOT NULL, created_ms BIGINT NOT NULL,
      expires_ms BIGINT NOT NULL, used_ms BIGINT)""",
    "CREATE INDEX ix_call_links_user_id ON call_links (user_id)",
    "CREATE INDEX ix_call_links_expires_ms ON call_links (expires_ms)",
)
"""People's channels, their quiet hours, escalation and links; one table of deliveries for them and for webhooks."""
BUDGETS = (
    """CREATE TABLE budgets (
      budget_id TEXT PRIMARY KEY, village_id TEXT NOT NULL REFERENCES villages (village_id) ON DELETE CASCADE,
      scope TEXT NOT NULL, target TEXT, unit TEXT NOT NULL, amount DOUBLE PRECISION NOT NULL, period TEXT NOT NULL,
      changed_by TEXT, changed_ms BIGINT NOT NULL, created_ms BIGINT NOT NULL)""",
    "CREATE INDEX ix_budgets_village_id ON budgets (village_id)",
    """CREATE TABLE budget_raises (
      raise_id TEXT PRIMARY KEY, budget_id TEXT NOT NULL REFERENCES budgets (budget_id) ON DELETE CASCADE,
      subject TEXT NOT NULL, period TEXT NOT NULL, amount DOUBLE PRECISION NOT NULL, raised_by TEXT NOT NULL,
      raised_ms BIGINT NOT NULL, from_ms BIGINT NOT NULL, session_id TEXT, approval_id TEXT)""",
    "CREATE INDEX ix_budget_raises_budget_id ON budget_raises (budget_id)",
    """CREATE TABLE budget_leases (
      session_id TEXT NOT NULL, budget_id TEXT NOT NULL REFERENCES budgets (budget_id) ON DELETE CASCADE,
      cap DOUBLE PRECISION NOT NULL, PRIMARY KEY (session_id, budget_id))""",
    """CREATE TABLE budget_notices (
      budget_id TEXT NOT NULL REFERENCES budgets (budget_id) ON DELETE CASCADE, subject TEXT NOT NULL,
      period TEXT NOT NULL, kind TEXT NOT NULL, session_id TEXT NOT NULL, title TEXT NOT NULL,
      description TEXT NOT NULL, raised_ms BIGINT NOT NULL, over_ms BIGINT,
      PRIMARY KEY (budget_id, subject, period, kind))""",
    """CREATE TABLE spending (
      session_id TEXT NOT NULL, day TEXT NOT NULL,
      village_id TEXT NOT NULL REFERENCES villages (village_id) ON DELETE CASCADE,
      agent TEXT NOT NULL, agent_id TEXT NOT NULL, house TEXT, person TEXT, started INTEGER NOT NULL,
      usd DOUBLE PRECISION NOT NULL, listed_usd DOUBLE PRECISION NOT NULL, tokens BIGINT NOT NULL,
      unpriced BIGINT NOT NULL, seconds DOUBLE PRECISION NOT NULL, PRIMARY KEY (session_id, day))""",
    "CREATE INDEX spending_by_village ON spending (village_id, day)",
)
"""Budgets that sessions share, what each session used on which day, and its leases."""
SIGN_INS = (
    """CREATE TABLE sign_ins (
      sign_in_id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
      token_id TEXT NOT NULL, way TEXT NOT NULL, address TEXT, user_agent TEXT, created_ms BIGINT NOT NULL,
      expires_ms BIGINT, ended_ms BIGINT)""",
    "CREATE INDEX ix_sign_ins_user_id ON sign_ins (user_id)",
    "CREATE INDEX ix_sign_ins_token_id ON sign_ins (token_id)",
    "ALTER TABLE codes ADD COLUMN way TEXT",
)
"""Past sign-ins, and by which way a one-time code was given out."""
CLIPS = (
    """CREATE TABLE clips (
      clip_id TEXT PRIMARY KEY, hash TEXT NOT NULL UNIQUE,
      village_id TEXT NOT NULL REFERENCES villages (village_id) ON DELETE CASCADE, session_id TEXT NOT NULL,
      user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE, from_seq BIGINT NOT NULL,
      to_seq BIGINT NOT NULL, screen TEXT, created_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL)""",
    "CREATE INDEX ix_clips_village_id ON clips (village_id)",
    "CREATE INDEX ix_clips_session_id ON clips (session_id)",
    "CREATE INDEX ix_clips_user_id ON clips (user_id)",
)
"""Parts of recordings that were shared by a link."""
HOUSE_NAMES = (
    """CREATE TABLE house_names (
      village_id TEXT NOT NULL REFERENCES villages (village_id) ON DELETE CASCADE, repo_id TEXT NOT NULL,
      name TEXT NOT NULL, changed_by TEXT, changed_ms BIGINT NOT NULL, PRIMARY KEY (village_id, repo_id))""",
)
"""Names that people gave to houses."""
KEPT_SOCKETS = (
    """CREATE TABLE kept_sockets (
      pid_hash TEXT PRIMARY KEY, owner TEXT NOT NULL, body TEXT NOT NULL, saved_ms BIGINT NOT NULL, lost_ms BIGINT)""",
    "CREATE INDEX ix_kept_sockets_owner ON kept_sockets (owner)",
)
"""Clients of Socket.IO, for the process that takes over."""


MIGRATIONS: tuple[Sequence[str], ...] = (
    (
        """CREATE TABLE users (
          user_id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE, password_hash TEXT,
          admin BOOLEAN NOT NULL, disabled BOOLEAN NOT NULL, tokens_from_ms BIGINT NOT NULL,
          created_ms BIGINT NOT NULL)""",
        """CREATE TABLE identities (
          issuer TEXT NOT NULL, subject TEXT NOT NULL,
          user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
          created_ms BIGINT NOT NULL, PRIMARY KEY (issuer, subject))""",
        "CREATE INDEX ix_identities_user_id ON identities (user_id)",
        """CREATE TABLE villages (
          village_id TEXT PRIMARY KEY, name TEXT NOT NULL, public BOOLEAN NOT NULL, created_ms BIGINT NOT NULL)""",
        """CREATE TABLE members (
          village_id TEXT NOT NULL REFERENCES villages (village_id) ON DELETE CASCADE,
          user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
          role TEXT NOT NULL, added_ms BIGINT NOT NULL, PRIMARY KEY (village_id, user_id))""",
        "CREATE INDEX ix_members_user_id ON members (user_id)",
        """CREATE TABLE houses (
          house_id TEXT PRIMARY KEY, village_id TEXT NOT NULL REFERENCES villages (village_id) ON DELETE CASCADE,
          name TEXT NOT NULL, repo_path TEXT NOT NULL, created_ms BIGINT NOT NULL, UNIQUE (village_id, repo_path))""",
        """CREATE TABLE agents (
          agent_id TEXT PRIMARY KEY, village_id TEXT NOT NULL REFERENCES villages (village_id) ON DELETE CASCADE,
          house_id TEXT, session_id TEXT, name TEXT NOT NULL, agent_type TEXT NOT NULL, repo_path TEXT NOT NULL,
          created_ms BIGINT NOT NULL)""",
        "CREATE INDEX ix_agents_village_id ON agents (village_id)",
        """CREATE TABLE sessions (
          session_id TEXT PRIMARY KEY, village_id TEXT NOT NULL REFERENCES villages (village_id) ON DELETE CASCADE,
          agent_id TEXT NOT NULL, house_id TEXT, runner_id TEXT, provider_id TEXT NOT NULL, workspace_path TEXT,
          state TEXT NOT NULL, reason TEXT, detached BOOLEAN NOT NULL, exit_code BIGINT, last_seq BIGINT NOT NULL,
          last_event_ms BIGINT, created_ms BIGINT NOT NULL, started_ms BIGINT, ended_ms BIGINT,
          usage TEXT, config TEXT, created_by TEXT)""",
        "CREATE INDEX ix_sessions_agent_id ON sessions (agent_id)",
        "CREATE INDEX ix_sessions_runner_id ON sessions (runner_id)",
        "CREATE INDEX sessions_by_village ON sessions (village_id, created_ms)",
        """CREATE TABLE approvals (
          session_id TEXT NOT NULL, approval_id TEXT NOT NULL, village_id TEXT NOT NULL, request TEXT NOT NULL,
          requested_ms BIGINT NOT NULL, timeout_ms BIGINT, decision TEXT, resolved_by TEXT, note TEXT,
          resolved_ms BIGINT, confirmed_ms BIGINT, PRIMARY KEY (session_id, approval_id))""",
        "CREATE INDEX approvals_by_village ON approvals (village_id, requested_ms)",
        """CREATE TABLE runners (
          runner_id TEXT PRIMARY KEY, name TEXT NOT NULL, village_id TEXT, hostname TEXT, version TEXT,
          mode TEXT NOT NULL, state TEXT NOT NULL, capabilities TEXT NOT NULL, labels TEXT NOT NULL,
          details TEXT NOT NULL, created_ms BIGINT NOT NULL, last_seen_ms BIGINT)""",
        "CREATE INDEX ix_runners_village_id ON runners (village_id)",
        """CREATE TABLE api_tokens (
          token_id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
          name TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, scopes TEXT NOT NULL, session_id TEXT,
          created_ms BIGINT NOT NULL, expires_ms BIGINT, used_ms BIGINT, revoked_ms BIGINT)""",
        "CREATE INDEX ix_api_tokens_user_id ON api_tokens (user_id)",
        """CREATE TABLE runner_tokens (
          token_id TEXT PRIMARY KEY, runner_id TEXT NOT NULL REFERENCES runners (runner_id) ON DELETE CASCADE,
          hash TEXT NOT NULL UNIQUE, created_ms BIGINT NOT NULL, expires_ms BIGINT, used_ms BIGINT,
          revoked_ms BIGINT)""",
        "CREATE INDEX ix_runner_tokens_runner_id ON runner_tokens (runner_id)",
        """CREATE TABLE codes (
          hash TEXT PRIMARY KEY, kind TEXT NOT NULL, user_id TEXT, village_id TEXT, name TEXT,
          created_ms BIGINT NOT NULL, expires_ms BIGINT NOT NULL, used_ms BIGINT)""",
        """CREATE TABLE audit (
          audit_id {auto}, at_ms BIGINT NOT NULL, kind TEXT NOT NULL, user_id TEXT, token_id TEXT, action TEXT NOT NULL,
          village_id TEXT, session_id TEXT, target TEXT, address TEXT, details TEXT)""",
        "CREATE INDEX audit_by_village ON audit (village_id, audit_id)",
        """CREATE TABLE idempotency (
          owner TEXT NOT NULL, key TEXT NOT NULL, fingerprint TEXT NOT NULL, status INTEGER, body TEXT,
          created_ms BIGINT NOT NULL, PRIMARY KEY (owner, key))""",
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    ),
    ("CREATE TABLE ended_tokens (token_id TEXT PRIMARY KEY, expires_ms BIGINT NOT NULL)",),
    SCOPED_IDS,
    # quarantine: rows that could not be read, whole; `raw` is JSON with bytes in hexadecimal
    (
        """CREATE TABLE quarantine (
          quarantine_id {auto}, at_ms BIGINT NOT NULL, table_name TEXT NOT NULL, row_id BIGINT NOT NULL,
          why TEXT NOT NULL, raw TEXT NOT NULL)""",
    ),
    VILLAGE_KEYS,
    (  # promises: commands as rows, how an approval ended at its runner, whose an unanswered idempotency key is
        """CREATE TABLE commands (
          command_id TEXT PRIMARY KEY, runner_id TEXT NOT NULL, session_id TEXT, kind TEXT NOT NULL, body TEXT NOT NULL,
          created_ms BIGINT NOT NULL, expires_ms BIGINT, settled_ms BIGINT, outcome TEXT, error TEXT)""",
        "CREATE INDEX commands_by_runner ON commands (runner_id, settled_ms)",
        "CREATE INDEX commands_by_session ON commands (session_id)",
        "ALTER TABLE approvals ADD COLUMN outcome TEXT",
        "ALTER TABLE approvals ADD COLUMN outcome_by TEXT",
        "ALTER TABLE approvals ADD COLUMN outcome_note TEXT",
        "ALTER TABLE idempotency ADD COLUMN process TEXT",
        "ALTER TABLE idempotency ADD COLUMN claim_id TEXT",
    ),
    (  # an allow that can still be taken back: its command is there and is not sent
        "ALTER TABLE approvals ADD COLUMN hold_ms BIGINT",
        "ALTER TABLE approvals ADD COLUMN release_ms BIGINT",
        "ALTER TABLE commands ADD COLUMN held BOOLEAN NOT NULL DEFAULT FALSE",
    ),
    FIRST_GENERATION,
    (  # rules of a village
        """CREATE TABLE village_policies (
          village_id TEXT PRIMARY KEY REFERENCES villages ON DELETE CASCADE, version INTEGER NOT NULL,
          body TEXT NOT NULL, changed_by TEXT, changed_ms BIGINT NOT NULL)""",
    ),
    (  # failures that a person has seen
        """CREATE TABLE seen_failures (
          session_id TEXT PRIMARY KEY, village_id TEXT NOT NULL, seen_by TEXT NOT NULL, seen_ms BIGINT NOT NULL)""",
        "CREATE INDEX ix_seen_failures_village_id ON seen_failures (village_id)",
    ),
    WEBHOOKS,
    ("CREATE TABLE service_secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL)",),  # of processes that share them
    ("CREATE INDEX audit_by_session ON audit (session_id)",),  # who started a session
    (  # who started a session, and allows of which more than one is needed
        "ALTER TABLE sessions ADD COLUMN created_by TEXT",
        """CREATE TABLE approval_answers (
          session_id TEXT NOT NULL, approval_id TEXT NOT NULL, user_id TEXT NOT NULL, name TEXT NOT NULL,
          signed_in BOOLEAN NOT NULL, given TEXT NOT NULL, at_ms BIGINT NOT NULL,
          PRIMARY KEY (session_id, approval_id, user_id))""",
    ),
    (  # the audit log knows who started earlier sessions
        """UPDATE sessions SET created_by = (
          SELECT min(a.user_id) FROM audit a WHERE a.session_id = sessions.session_id AND a.action = 'session.start')
          WHERE created_by IS NULL""",
        "DROP INDEX audit_by_session",
    ),
    PEOPLES_CALLS,
    BUDGETS,
    ("ALTER TABLE villages ADD COLUMN leave_out_texts BOOLEAN NOT NULL DEFAULT false",),
    SIGN_INS,
    CLIPS,
    HOUSE_NAMES,
    ("ALTER TABLE schema_version ADD COLUMN additive BOOLEAN",),  # what earlier releases may do: see `ADDITIVE_FROM`
    KEPT_SOCKETS,
)
LATEST = len(MIGRATIONS)
ADDITIVE_FROM = MIGRATIONS.index(("ALTER TABLE schema_version ADD COLUMN additive BOOLEAN",)) + 1
"""The first version that says of itself whether a release that does not know it may go on using the tables."""
BREAKING: frozenset[int] = frozenset()
"""Versions from `ADDITIVE_FROM` on after which it may not: they take away or change what it uses. All others add
tables, indexes, and columns that need no value. A version that breaks makes a rolling upgrade a stop of all processes:
take away in the release after the one that stopped using it.
"""

_AUTO = {
    "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "postgresql": "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
}
_LOCK = 0x7477_6462  # any number, the same in every process: who migrates a PostgreSQL database, others wait


class SchemaTooNew(TablesRefused):
    """The tables were changed by a later release, in a way that this one cannot work with."""


def version_of(connection: Connection) -> int:
    """The schema's version; 0 where there is nothing yet."""
    if not inspect(connection).has_table("schema_version"):
        return 0
    return connection.execute(text("SELECT max(version) FROM schema_version")).scalar() or 0


def migrate(connection: Connection, target: int = LATEST) -> int:
    """Bring the schema to `target` (or leave it, where it is there already). Returns the version it had before.

    Run it in one transaction: both databases roll a half-done migration back.
    """
    dialect = connection.dialect.name
    if dialect == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    found = version_of(connection)
    check_usable(connection, found)
    if found == 0:
        connection.execute(text("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY)"))
    for number, statements in enumerate(MIGRATIONS[found:target], start=found + 1):
        for statement in statements:
            connection.execute(text(statement.replace("{auto}", _AUTO[dialect])))
        if number < ADDITIVE_FROM:
            connection.execute(text("INSERT INTO schema_version (version) VALUES (:number)"), {"number": number})
        else:
            row = {"number": number, "additive": number not in BREAKING}
            connection.execute(text("INSERT INTO schema_version (version, additive) VALUES (:number, :additive)"), row)
    return found


def check_usable(connection: Connection, found: int | None = None) -> None:
    """Raise `SchemaTooNew` where a later release changed the tables so that this one cannot work with them. What a
    later release only added, this one passes over. `found`: the version, where it is known.
    """
    found = version_of(connection) if found is None else found
    if found <= LATEST:
        return
    sql = text("SELECT min(version) FROM schema_version WHERE version > :latest AND additive IS NOT TRUE")
    breaking = connection.execute(sql, {"latest": LATEST}).scalar()
    if breaking is not None:
        raise SchemaTooNew(
            f"the tables have schema version {found}; this townwatch knows up to {LATEST}, and version {breaking} is"
            " none that it could pass over: upgrade this process, or restore a backup from before the upgrade"
        )
