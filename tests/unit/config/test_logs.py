"""The log: one line an event, and never a secret in it, wherever it hides."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from townwatch.config.logs import MASK, configure
from townwatch.config.settings import LoggingSettings

SECRETS = [
    "tw_abcdefghijklmnop",
    "twr_abcdefghijklmnop",
    "twc_abcdefghijklmnop",
    "twe_abcdefghijklmnop",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl",
]


@pytest.fixture(params=["text", "json"])
def out(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure(LoggingSettings(format=request.param), stream)
    yield stream
    structlog.reset_defaults()


def test_an_event_is_one_line_with_its_fields(out: io.StringIO) -> None:
    structlog.get_logger("room").info("runner_connected", runner="r1", version=2)
    (line,) = out.getvalue().splitlines()
    for part in ("runner_connected", "info", "r1", "2"):
        assert part in line
    if line.startswith("{"):
        assert json.loads(line)["version"] == 2


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_masked_by_its_shape_wherever_it_stands(out: io.StringIO, secret: str) -> None:
    log = structlog.get_logger("room")
    log.warning("refused", reason=f"the token {secret} is over", url=f"http://h/?code={secret}")
    try:
        raise ValueError(f"cannot read {secret}")
    except ValueError:
        log.exception("failed")
    assert secret not in out.getvalue()
    assert MASK in out.getvalue() or "\\u2022" in out.getvalue()


@pytest.mark.parametrize(
    "name", ["token", "api_key", "apikey", "password", "Authorization", "set_cookie", "client_secret"]
)
def test_a_secret_is_masked_by_its_name(out: io.StringIO, name: str) -> None:
    structlog.get_logger("room").info("said", **{name: "plain-looking"})
    assert "plain-looking" not in out.getvalue()


def test_local_variables_do_not_get_into_it(out: io.StringIO) -> None:
    hidden = "plain-looking" * 2
    try:
        raise ValueError(len(hidden))
    except ValueError:
        structlog.get_logger("room").exception("failed")
    assert "ValueError" in out.getvalue()
    assert hidden not in out.getvalue()


def test_nobody_writes_lines_of_their_own_into_it(out: io.StringIO) -> None:
    structlog.get_logger("room").info("refused", reason="no\n2026-01-01 [info] all_is_well\x1b[2J\u202e")
    assert len(out.getvalue().splitlines()) == 1
    assert "\x1b[2J" not in out.getvalue()


def test_libraries_log_into_it_by_standard_logging_with_their_fields(out: io.StringIO) -> None:
    logging.getLogger("townwatch.supervision").warning("Child %s crashed", "root/a", extra={"fields": {"restarts": 3}})
    logging.getLogger("pykka").error("%s failed", "tw_" + "a" * 20)
    try:
        raise ValueError("in a library")
    except ValueError:
        logging.getLogger("trio").exception("went wrong")
    first, second, *rest = out.getvalue().splitlines()
    for part in ("Child root/a crashed", "townwatch.supervision", "restarts", "3", "warning"):
        assert part in first
    assert "a" * 20 not in second
    assert "ValueError: in a library" in "".join(rest)
