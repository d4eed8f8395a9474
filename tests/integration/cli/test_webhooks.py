"""`townwatch webhook` as an owner types it, in a directory of their own, with a receiver that answers and fails."""

import json
import time
from pathlib import Path

import httpx
import trio

from tests.support.command_line import Person
from tests.support.receiver import open_receiver
from tests.support.service import quiet_settings
from townwatch.app.identity import local_access

NEAR = {"TOWNWATCH_WEBHOOKS_PRIVATE_NETWORKS": "127.0.0.0/8", "TOWNWATCH_WEBHOOKS_ATTEMPTS": "1"}
MANY = 101
"""More than a page has."""


def test_it_is_made_tried_and_looked_after(tmp_path: Path) -> None:
    person = Person.below(tmp_path)
    with open_receiver() as receiver, person.program("serve", "--port=0", until="code=", **NEAR):
        made = person.townwatch("webhook", "add", f"{receiver.url}/x", "--kind", "session.failed")
        assert made.returncode == 0, made.stderr
        hook, _, secret = made.stdout.partition("  secret, shown once: ")
        tried = person.townwatch("webhook", "test", hook)
        assert (tried.returncode, tried.stdout) == (0, "delivered (200)\n"), tried.stderr
        assert receiver.heard[0].signed_with(secret.strip())
        receiver.modes["/x"] = "fail"
        failed = person.townwatch("webhook", "test", hook[:12])
        assert (failed.returncode, failed.stdout[:9]) == (1, "given up:"), failed.stderr

        url, token = trio.run(local_access, quiet_settings(person.state))
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}) as http:
            path = f"/api/villages/demo/webhooks/{hook}"
            for _ in range(MANY):
                while http.post(f"{path}/test").status_code == 429:
                    time.sleep(1)
            receiver.wait(lambda heard: len(heard) == MANY + 2)
            while http.get(f"{path}/deliveries", params={"state": "waiting"}).json()["items"]:
                pass
        dead = person.townwatch("webhook", "deliveries", hook, "--state=dead", "--json")
        assert len(json.loads(dead.stdout)) == MANY + 1, "all of them, not a page"
        assert "the latest 100; " in person.townwatch("webhook", "deliveries", hook).stdout
        again = person.townwatch("webhook", "resend", hook, "dead").stdout
        assert again == "100 on the way; there are more dead letters: say it again\n"

        none = person.townwatch("webhook", "test", "hook_nothing")
        assert (none.returncode, none.stderr.count("\n")) == (1, 1), none.stderr
        assert person.townwatch("webhook", "remove", hook).returncode == 0
        assert person.townwatch("webhook", "list", "--json").stdout.strip() == "[]"
