"""Settings: the file, the environment, and one line for everything that is wrong."""

from pathlib import Path

import pytest

from townwatch.config.reading import load
from townwatch.config.settings import ConfigError, Settings


def test_without_anything_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(None, {}) == Settings()


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text(
        'state_dir = "/srv/tw"\n[server]\nport = 9000\nhost = "0.0.0.0"\n'
        '[[runners.dial]]\nurl = "wss://r"\nrunner_id = "r1"\n'
    )
    found = load(str(file), {"TOWNWATCH_SERVER_PORT": "9001", "TOWNWATCH_SERVER_ALLOWED_HOSTS": "a, b"})
    assert (found.server.port, found.server.host, found.state_dir) == (9001, "0.0.0.0", "/srv/tw")
    assert found.server.allowed_hosts == ["a", "b"]
    assert found.runners.dial[0].url == "wss://r"


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("TOWNWATCH_SERVER_PORT", "eighty", "must be a whole number, not 'eighty'"),
        ("TOWNWATCH_LIMITS_JOINS_SECONDS", "5s", "must be a number, not '5s'"),
        ("TOWNWATCH_RUNNERS_ACKLESS", "maybe", "must be true or false, not 'maybe'"),
        ("TOWNWATCH_LOG_LEVEL", "loud", "must be debug, info, warning or error, not 'loud'"),
    ],
)
def test_a_variable_with_a_bad_value_is_named(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    """The file has nothing to do with it, whether there is one or not."""
    file = tmp_path / "t.toml"
    file.write_text("[server]\nport = 9000\n")
    for given in (None, str(file)):
        with pytest.raises(ConfigError) as raised:
            load(given, {name: text})
        assert str(raised.value) == f"environment: {name}: {complaint}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[servr]\n", "unknown option 'servr': did you mean 'server'?"),
        ("[server]\nprot = 1\n", "[server] unknown option 'prot': did you mean 'port'?"),
        ("[server]\nport = true\n", "[server] port: must be a whole number, not True"),
        ("state_dir = 4\n", "state_dir: must be text, not 4"),
        ("[[runners.dial]]\nurl = 3\n", "[runners.dial] url: must be text, not 3"),
        ("[log]\nlevel = 'loud'\n", "[log] level:"),
    ],
)
def test_a_mistake_is_one_line_that_says_where(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "t.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(str(file), {})
    assert str(caught.value).startswith(f"{file}: {complaint}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_named_and_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(str(tmp_path / "none.toml"), {})
