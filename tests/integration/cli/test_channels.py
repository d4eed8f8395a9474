"""`townwatch channel` as a person types it, with a receiver that answers and fails."""

import json
from pathlib import Path

from tests.support.command_line import Person
from tests.support.receiver import open_receiver

NEAR = {"TOWNWATCH_WEBHOOKS_PRIVATE_NETWORKS": "127.0.0.0/8", "TOWNWATCH_WEBHOOKS_ATTEMPTS": "1"}


def test_it_is_made_tried_and_removed(tmp_path: Path) -> None:
    person = Person.below(tmp_path)
    with open_receiver() as receiver, person.program("serve", "--port=0", until="code=", **NEAR):
        made = person.townwatch("channel", "add", "ntfy", f"{receiver.url}/topic", "--kind", "session.failed")
        assert made.returncode == 0, made.stderr
        channel, _, state = made.stdout.strip().partition("  ")
        assert channel.startswith("chan_") and state == "on"
        (listed,) = json.loads(person.townwatch("channel", "list", "--json").stdout)
        assert (listed["kinds"], listed["shown"]) == (["session.failed"], "127.0.0.1/topic")
        tried = person.townwatch("channel", "test", channel[:10])
        assert (tried.returncode, tried.stdout) == (0, "delivered\n"), tried.stderr
        assert receiver.heard[0].event["title"] == "Townwatch calls"
        receiver.modes["/"] = "fail"
        failed = person.townwatch("channel", "test", channel)
        assert (failed.returncode, failed.stdout) == (1, "dead: the receiver answered 500\n"), failed.stderr
        refused = person.townwatch("channel", "add", "mail", "ada@mail.example")
        assert refused.returncode == 1 and "no mail server" in refused.stderr
        assert person.townwatch("channel", "remove", channel).returncode == 0
        assert person.townwatch("channel", "list", "--json").stdout.strip() == "[]"
