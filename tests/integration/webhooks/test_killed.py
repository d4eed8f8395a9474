"""kill -9 of the service between a message and the receiver's answer: it is sent again, with the same id."""

from pathlib import Path

import pytest

from tests.chaos.test_promises_killed import asked
from tests.chaos.test_service_killed import House, free_port
from tests.support.receiver import open_receiver

ALL = "/api/villages/demo/webhooks"


@pytest.mark.timeout(240)
def test_a_message_outlives_kills_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOWNWATCH_WEBHOOKS_PRIVATE_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("TOWNWATCH_WEBHOOKS_SECONDS", "600")
    house = House(tmp_path, free_port())
    try:
        with open_receiver() as receiver:
            receiver.modes["/x"] = "hang"
            house.start_service()
            with asked(house) as http:
                made = http.post(ALL, json={"url": f"{receiver.url}/x", "kinds": ["session.failed"]}).json()
            assert house.townwatch("run", "--", "sh", "-c", "exit 3", output="run.out").wait(timeout=60) == 3
            (first,) = receiver.wait(lambda heard: len(heard) == 1)
            house.kill_service()  # the receiver has it, and has not answered
            house.start_service()
            receiver.wait(lambda heard: len(heard) == 2)
            house.kill_service()
            receiver.modes["/x"] = "ok"
            house.start_service()
            heard = receiver.wait(lambda heard: len(heard) == 3)
            assert {one.id for one in heard} == {first.id}
            assert {one.body for one in heard} == {first.body}
            assert all(one.signed_with(made["secret"]) for one in heard)
            with asked(house) as http:
                path = f"{ALL}/{made['webhook']['webhookId']}/deliveries"
                while (found := http.get(path).json()["items"])[0]["state"] != "delivered":
                    pass
            assert len(found) == 1
    finally:
        house.close()
