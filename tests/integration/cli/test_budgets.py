"""`townwatch budget` as an owner types it, in a directory of their own."""

import json
from pathlib import Path

from tests.support.command_line import Person


def test_a_budget_is_set_shown_raised_and_removed(tmp_path: Path) -> None:
    person = Person.below(tmp_path)
    with person.program("serve", "--port=0", until="code="):
        made = person.townwatch("budget", "set", "village", "20", "--per", "day")
        assert made.returncode == 0, made.stderr
        budget, told = made.stdout.split(maxsplit=1)
        assert told == "village, 20.00 $  day  0.00 $ of 20.00 $  ok\n"
        assert person.townwatch("budget", "set", "person", "3", "sessions", "--json").returncode == 0
        listed = person.townwatch("budget", "list").stdout.splitlines()
        assert [line.split()[0] for line in listed[:2]] == ["BUDGET", budget]
        assert "nothing yet" in listed[2]
        raised = person.townwatch("budget", "raise", budget[:8], "5")
        assert "0.00 $ of 25.00 $" in raised.stdout, raised.stderr
        assert "0.00 $ of 35.00 $" in person.townwatch("budget", "change", budget, "30").stdout
        odd = person.townwatch("budget", "set", "session", "1", "sessions")
        assert (odd.returncode != 0, odd.stderr.count("\n")) == (True, 1), odd.stderr
        assert "a session is one session" in odd.stderr
        none = person.townwatch("budget", "raise", "bud_nothing", "1")
        assert (none.returncode, "townwatch budget list shows them" in none.stderr) == (1, True)
        assert person.townwatch("budget", "remove", budget).returncode == 0
        assert [one["scope"] for one in json.loads(person.townwatch("budget", "list", "--json").stdout)] == ["person"]
