"""A client that vanishes in the middle of its request is no error of ours: nobody waits for the answer."""

import pytest
from structlog.testing import capture_logs

from tests.support.cast import open_cast
from townwatch.access.subject import ANONYMOUS
from townwatch.actors import messages as m
from townwatch.actors.client import ClientActor
from townwatch.actors.ports import ClientGone
from townwatch.transports.socketio import TrioServer
from townwatch.transports.socketio.handlers import SocketIoOutlet


class Open:
    async def readable_village(self, subject: object, name: str) -> str | None:
        return name

    async def may_read(self, subject: object, village_id: str) -> bool:
        return True


async def test_who_vanishes_while_joining_leaves_no_error_and_no_trace(tmp_path, monkeypatch):
    async with open_cast(tmp_path) as cast:
        monkeypatch.setattr(cast.context, "outlet", SocketIoOutlet(TrioServer()))  # where nobody is connected
        client = ClientActor.start(cast.context, "c1", ANONYMOUS, Open())
        with capture_logs() as logs:
            ack = await client.call(m.FromClient("join_village", {"villageId": "demo"}))
        assert ack["ok"] is False
        assert [line["event"] for line in logs if line["log_level"] == "error"] == []


async def test_there_is_nothing_to_catch_up_with_for_who_is_gone():
    with pytest.raises(ClientGone):
        async with SocketIoOutlet(TrioServer()).catch_up("nobody"):
            pass
