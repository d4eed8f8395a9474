"""The schema: from nothing, from every earlier version, by many at once; and the same as the tables say."""

import re
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text

from townwatch.contracts.faults import TablesRefused
from townwatch.store import runner_grants, sessions, villages
from townwatch.store.calls import deliveries
from townwatch.store.database import Database, _url
from townwatch.store.deciding import approvals
from townwatch.store.migrations import (
    ADDITIVE_FROM,
    BREAKING,
    FIRST_GENERATION,
    LATEST,
    MIGRATIONS,
    PEOPLES_CALLS,
    SCOPED_IDS,
    VILLAGE_KEYS,
    SchemaTooNew,
    migrate,
    version_of,
)
from townwatch.store.sessions import SessionRow
from townwatch.store.tables import metadata


def test_a_new_database_gets_the_latest_schema_and_a_second_start_does_nothing(database_url: str) -> None:
    for _ in range(2):
        database = Database.open(database_url)
        assert database.run(version_of) == LATEST
        assert database.run(migrate) == LATEST
        database.close()


@pytest.mark.parametrize("earlier", range(LATEST + 1))
def test_from_each_earlier_version(database_url: str, earlier: int) -> None:
    engine = create_engine(_url(database_url))
    with engine.begin() as connection:
        migrate(connection, earlier)
        assert version_of(connection) == earlier
    engine.dispose()
    database = Database.open(database_url)
    assert database.run(version_of) == LATEST
    database.close()


def test_agents_keep_their_rows_when_their_key_gets_the_village(database_url: str) -> None:
    engine = create_engine(_url(database_url))
    with engine.begin() as connection:
        migrate(connection, MIGRATIONS.index(SCOPED_IDS))
        connection.execute(text("INSERT INTO villages VALUES ('v', 'V', TRUE, 1)"))
        connection.execute(text("INSERT INTO agents VALUES ('a', 'v', NULL, 's', 'A', 'codex', '/x', 7)"))
        migrate(connection, MIGRATIONS.index(FIRST_GENERATION))
        found = connection.execute(text("SELECT * FROM agents")).one()
        assert tuple(found) == ("v", "a", None, "s", "A", "codex", "/x", 7)
    engine.dispose()


def test_requested_sessions_and_approvals_stay_when_the_first_generation_goes(database_url: str) -> None:
    engine = create_engine(_url(database_url))
    with engine.begin() as connection:
        migrate(connection, MIGRATIONS.index(FIRST_GENERATION))
        connection.execute(text("INSERT INTO villages VALUES ('v', 'V', TRUE, 1, 'v')"))
        connection.execute(text("INSERT INTO houses VALUES ('h', 'v', 'code', '/code', 1)"))
        connection.execute(text("INSERT INTO agents VALUES ('v', 'a', 'h', 's', 'A', 'codex', '/code', 1)"))
        connection.execute(text("INSERT INTO settings VALUES ('k', 'v')"))
        values = "'s', 'v', 'a', 'h', 'r', 'codex', NULL, 'CREATED', NULL, FALSE, NULL, 0, NULL, 7, NULL, NULL, NULL"
        insert = f"INSERT INTO sessions VALUES ({values}, :config, 'ada')"
        connection.execute(text(insert), {"config": '{"agentName":"Ada"}'})
        names = "session_id, approval_id, village_id, request, requested_ms, timeout_ms, decision"
        connection.execute(text(f"INSERT INTO approvals ({names}) VALUES ('s', 'a1', 'v', '{{}}', 5, 9, 'allow')"))
    engine.dispose()
    database = Database.open(database_url)
    found = database.run(sessions.get, "s")
    assert found == SessionRow(
        session_id="s",
        village_id="v",
        agent_id="a",
        provider_id="codex",
        created_ms=7,
        runner_id="r",
        config={"agentName": "Ada"},
    )
    kept = database.run(approvals.get, "s", "a1")
    assert kept is not None
    assert (kept.requested_ms, kept.decision) == (5, "allow")
    assert database.run(villages.remove, "v")
    assert database.run(sessions.get, "s") is None
    assert not {"houses", "agents", "settings"} & set(inspect(database.engine).get_table_names())
    database.close()


def test_who_started_earlier_sessions_is_taken_from_the_audit_log(database_url: str) -> None:
    engine = create_engine(_url(database_url))
    with engine.begin() as connection:
        migrate(connection, MIGRATIONS.index(PEOPLES_CALLS) - 1)
        connection.execute(
            text(
                "INSERT INTO villages (village_id, public_id, name, public, created_ms) VALUES ('v', 'v', 'V', TRUE, 1)"
            )
        )
        for session in ("ordered", "at-its-runner"):
            names = "session_id, village_id, agent_id, provider_id, created_ms"
            connection.execute(text(f"INSERT INTO sessions ({names}) VALUES ('{session}', 'v', 'a', 'codex', 7)"))
        for user, action in (("ada", "session.start"), ("bob", "session.stop")):
            names = "at_ms, kind, user_id, action, village_id, session_id"
            values = f"1, 'user', '{user}', '{action}', 'v', 'ordered'"
            connection.execute(text(f"INSERT INTO audit ({names}) VALUES ({values})"))
    engine.dispose()
    database = Database.open(database_url)
    assert database.run(sessions.starter_of, "ordered") == "ada"
    assert database.run(sessions.starter_of, "at-its-runner") is None
    database.close()


def test_villages_keep_their_name_and_runners_serve_what_they_served_for_administrators(database_url: str) -> None:
    engine = create_engine(_url(database_url))
    with engine.begin() as connection:
        migrate(connection, MIGRATIONS.index(VILLAGE_KEYS))
        for name, admin in (("ada", "TRUE"), ("mal", "FALSE")):
            values = f"'{name}', '{name}', NULL, NULL, {admin}, FALSE, 0, 1"
            connection.execute(text(f"INSERT INTO users VALUES ({values})"))
        for name in ("hers", "his"):
            connection.execute(text(f"INSERT INTO villages VALUES ('{name}', '{name}', FALSE, 1)"))
        connection.execute(text("INSERT INTO members VALUES ('hers', 'ada', 'owner', 1), ('his', 'mal', 'owner', 1)"))
        for name, village in (("all", "NULL"), ("one", "'his'"), ("gone", "'deleted'")):
            values = f"'{name}', '{name}', {village}, NULL, NULL, 'hosted', 'active', '{{}}', '{{}}', '{{}}', 1, NULL"
            connection.execute(text(f"INSERT INTO runners VALUES ({values})"))
        for code, village in (("c1", "NULL"), ("c2", "'hers'")):
            values = f"'{code}', 'enrolment', 'ada', {village}, NULL, 1, 9, NULL"
            connection.execute(text(f"INSERT INTO codes VALUES ({values})"))
    engine.dispose()
    database = Database.open(database_url)
    assert [database.run(villages.key_of, name) for name in ("hers", "his")] == ["hers", "his"]
    grants = {name: [one.village_id for one in found] for name, found in database.run(runner_grants.everything).items()}
    assert grants == {"all": ["hers"], "one": ["his"]}
    codes = database.run(lambda c: c.execute(text("SELECT hash FROM codes")).scalars().all())
    assert codes == ["c2"]
    database.close()


def test_migrations_make_exactly_the_tables_that_queries_use(database: Database) -> None:
    found = inspect(database.engine)
    assert set(found.get_table_names()) - {"schema_version", "sqlite_sequence"} == set(metadata.tables)
    for name, table in metadata.tables.items():
        columns = {c["name"]: bool(c["nullable"]) for c in found.get_columns(name)}
        primary = {c.name for c in table.primary_key}
        assert set(columns) == {c.name for c in table.columns}, name
        for column in table.columns:
            if column.name not in primary:  # SQLite calls a primary key nullable
                assert columns[column.name] == bool(column.nullable), f"{name}.{column.name}"
        assert set(found.get_pk_constraint(name)["constrained_columns"]) == primary, name
        indexed = {tuple(i["column_names"]) for i in found.get_indexes(name) if not i.get("duplicates_constraint")}
        assert indexed == {tuple(c.name for c in i.columns) for i in table.indexes}, name
        foreign = {(tuple(f["constrained_columns"]), f["referred_table"]) for f in found.get_foreign_keys(name)}
        expected = {((f.parent.name,), f.column.table.name) for f in table.foreign_keys}
        assert foreign == expected, name


def test_several_processes_that_start_at_once_migrate_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        databases = list(pool.map(lambda _: Database.open(database_url), range(4)))
    with databases[0].engine.connect() as connection:
        assert connection.execute(text("SELECT version FROM schema_version")).scalars().all() == list(
            range(1, LATEST + 1)
        )
    for database in databases:
        database.close()


def test_a_database_of_a_later_version_is_left_alone(database_url: str) -> None:
    database = Database.open(database_url)
    database.run(lambda c: c.execute(text("INSERT INTO schema_version (version) VALUES (999)")))
    database.close()
    with pytest.raises(SchemaTooNew, match="999"):
        Database.open(database_url)


def test_what_a_later_version_only_added_is_passed_over(database_url: str) -> None:
    database = Database.open(database_url)
    database.run(lambda c: c.execute(text("ALTER TABLE villages ADD COLUMN later TEXT")))
    database.run(lambda c: c.execute(text("INSERT INTO schema_version VALUES (998, TRUE)")))
    database.close()
    database = Database.open(database_url)
    assert database.run(migrate) == 998
    database.run(lambda c: c.execute(text("INSERT INTO schema_version VALUES (999, FALSE)")))
    database.close()
    with pytest.raises(SchemaTooNew, match=r"version 999; .* and version 999 is none that it could pass over"):
        Database.open(database_url)


def test_a_version_that_says_it_only_adds_does() -> None:
    adds = re.compile(
        r"\s*(CREATE (UNIQUE )?(TABLE|INDEX) |ALTER TABLE \w+ ADD COLUMN (?!.*NOT NULL(?!.*DEFAULT)))", re.S
    )
    for number, statements in enumerate(MIGRATIONS, 1):
        if number >= ADDITIVE_FROM and number not in BREAKING:
            assert all(adds.match(statement) for statement in statements), f"version {number} is BREAKING"


def test_a_migration_that_fails_leaves_nothing_behind(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("townwatch.store.migrations.MIGRATIONS", (("CREATE TABLE half (a TEXT)", "CREATE NONSENSE"),))
    with pytest.raises(Exception, match=r"(?i)syntax"):
        Database.open(database_url)
    monkeypatch.undo()
    database = Database.open(database_url)
    assert "half" not in inspect(database.engine).get_table_names()
    database.close()


def test_sqlite_is_private_durable_and_keeps_its_promises(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    database = Database.open(path)
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    database.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sqlite3.connect(path).close()


@pytest.mark.parametrize("url", ["mysql://host/name", "sqlite://", ""])
def test_a_url_that_we_cannot_use_says_what_we_can(url: str) -> None:
    with pytest.raises((ValueError, ImportError, TablesRefused), match=r"database|No module"):
        Database.open(url)


def test_messages_for_webhooks_stay_when_their_table_becomes_that_of_all_calls(database_url: str) -> None:
    engine = create_engine(_url(database_url))
    with engine.begin() as connection:
        migrate(connection, MIGRATIONS.index(PEOPLES_CALLS))
        connection.execute(
            text(
                "INSERT INTO villages (village_id, public_id, name, public, created_ms) VALUES ('v', 'v', 'V', TRUE, 1)"
            )
        )
        names = (
            "webhook_id, village_id, name, url, kinds, enabled, secret, from_position, dropped, created_by, created_ms"
        )
        values = "'hook_1', 'v', '', 'https://a.example/', 'alert.opened', TRUE, 's', 0, 0, 'o', 1"
        connection.execute(text(f"INSERT INTO webhooks ({names}) VALUES ({values})"))
        names = "webhook_id, message_id, kind, body, state, attempts, created_ms, next_ms"
        for message, state in (("m1", "dead"), ("m2", "waiting")):
            row = f"'hook_1', '{message}', 'alert.opened', '{{}}', '{state}', 2, 3, 4"
            connection.execute(text(f"INSERT INTO webhook_deliveries ({names}) VALUES ({row})"))
    engine.dispose()
    database = Database.open(database_url)
    page = database.run(deliveries.page, ["hook_1"], None, None, 9)
    assert [(one.message_id, one.state, one.attempts) for one in page.items] == [
        ("m2", "waiting", 2),
        ("m1", "dead", 2),
    ]
    database.close()
