"""The fence of processes that share a PostgreSQL: only the process whose epoch is the lease's may write.

The row of ``lease`` names the process that leads. Each take-over raises its epoch. Every transaction of a serving
process that writes (the event log and the tables alike) calls ``townwatch_fence`` first, within itself:

- it takes a shared lock, which the taker-over takes exclusively: a transaction that passed is over, one way or the
  other, before the epoch changes;
- it reads the epoch after it has the lock. A function, because in READ COMMITTED each statement of a function sees what
  was committed before that statement: the statement that waited would still see the epoch from before its wait.

So a process that was frozen for longer than its lease cannot write anything once another one took over, wherever in a
transaction it was frozen: PostgreSQL refuses it with the SQLSTATE ``TW001``.
"""

import attrs
from sqlalchemy import Connection

FENCED = "TW001"
"""The SQLSTATE of a refused write."""
_FENCE_LOCK, _LOG_LOCK = 0x7477_6601, 0x7477_6602
"""First halves of advisory locks; the second is the table ``lease`` itself, so that schemas do not meet."""
_MADE = 0x7477_6463  # any number, the same in every process: one makes the lease, others wait

_LIFE_SIGN = "('lease'::regclass::oid::bigint << 31) | mod({epoch}, 2147483648)"
"""The lock that the leader's lease connection holds for its epoch. PostgreSQL frees it when that connection ends."""
HOLD_LIFE_SIGN = f"SELECT pg_advisory_lock({_LIFE_SIGN.format(epoch='%s::bigint')})"
GONE_SECONDS = 0.1
"""A leader that lost every connection at once, and lives, has so long to renew its lease."""
_WATCH = f"""
CREATE OR REPLACE FUNCTION townwatch_watch(of_epoch BIGINT, seen BOOLEAN, seconds FLOAT8,
  OUT held BOOLEAN, OUT gone TIMESTAMPTZ) LANGUAGE plpgsql AS $$
DECLARE
  life_sign BIGINT := {_LIFE_SIGN.format(epoch="of_epoch")};
  until TIMESTAMPTZ := clock_timestamp() + make_interval(secs => seconds);
  missed TIMESTAMPTZ;
  current lease;
BEGIN
  held := seen;
  LOOP
    SELECT * INTO current FROM lease WHERE id = 1;
    EXIT WHEN current.epoch <> of_epoch OR current.expires < clock_timestamp();
    IF NOT pg_try_advisory_lock_shared(life_sign) THEN
      held := true;
      missed := NULL;
    ELSE
      PERFORM pg_advisory_unlock_shared(life_sign), pg_stat_clear_snapshot();
      IF NOT held OR EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'townwatch ' || current.holder) THEN
        missed := NULL;
      ELSIF missed IS NULL OR gone <> current.expires THEN
        missed := clock_timestamp();
        gone := current.expires;
      ELSIF missed + make_interval(secs => {GONE_SECONDS}) < clock_timestamp() THEN
        RETURN;
      END IF;
    END IF;
    EXIT WHEN missed IS NULL AND clock_timestamp() > until;
    PERFORM pg_sleep(0.02);
  END LOOP;
  gone := NULL;
END $$;
"""
"""Watch the leader of an epoch for so many seconds, or until there is something to do. `held`: its life sign was seen,
in this session, now or before (`seen`). `gone`: the end of the lease of a leader that is gone: its life sign, which was
seen, is free; none of its connections is left; and so it stayed for `GONE_SECONDS` without a renewal.
"""

LEASE_SCHEMA = f"""
SELECT pg_advisory_xact_lock({_MADE});
CREATE TABLE IF NOT EXISTS lease (
  id SMALLINT PRIMARY KEY CHECK (id = 1), epoch BIGINT NOT NULL, holder TEXT, name TEXT, since TIMESTAMPTZ,
  expires TIMESTAMPTZ NOT NULL);
INSERT INTO lease (id, epoch, expires) VALUES (1, 0, '-infinity') ON CONFLICT (id) DO NOTHING;
CREATE OR REPLACE FUNCTION townwatch_fence(mine BIGINT, writes_log BOOLEAN) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
  current BIGINT;
  leader TEXT;
BEGIN
  PERFORM pg_advisory_xact_lock_shared({_FENCE_LOCK}, 'lease'::regclass::oid::int);
  IF writes_log THEN
    PERFORM pg_advisory_xact_lock({_LOG_LOCK}, 'lease'::regclass::oid::int);
  END IF;
  SELECT l.epoch, l.name INTO current, leader FROM lease l WHERE l.id = 1;
  IF current IS DISTINCT FROM mine THEN
    RAISE EXCEPTION 'this process led in epoch %, and % leads in epoch %', mine, coalesce(leader, 'no process'), current
      USING ERRCODE = '{FENCED}';
  END IF;
END $$;
{_WATCH}
"""
"""Made by the first process that asks for the lease, before the tables are migrated: a standby migrates nothing."""

LOCK_FENCE = f"SELECT pg_advisory_xact_lock({_FENCE_LOCK}, 'lease'::regclass::oid::int)"
"""Wait until no fenced transaction is under way, and let none begin until this one ends."""
PASS_FENCE = "SELECT townwatch_fence(%s, false)"
PASS_FENCE_TO_LOG = "SELECT townwatch_fence(%s, true)"
"""Also waits for a write to the log that another connection has under way: what it left can then be read."""


@attrs.frozen
class Term:
    """A process's time as the leader. `life`: names the process for all time; its connections carry it as their
    application_name, so that the taker-over can end what a frozen process has open.
    """

    epoch: int
    life: str

    @property
    def application(self) -> str:
        return application_of(self.life)


def application_of(life: str) -> str:
    """The application_name of a process's connections."""
    return f"townwatch {life}"


def pass_fence(connection: Connection, term: Term) -> None:
    """Begin a transaction that writes. Raises the driver's error with SQLSTATE `FENCED` where another process leads."""
    connection.exec_driver_sql(PASS_FENCE, (term.epoch,))
