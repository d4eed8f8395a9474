"""Viewers who only look: connected, in a village where nothing happens, back as soon as they can."""

import json
from random import Random

import attrs
import structlog
import trio

from townwatch.chaos.campaign.socketio_client import ConnectionLost, SocketIoClient
from townwatch.chaos.campaign.viewer import FIRST_WAIT, LONGEST_WAIT

log = structlog.get_logger("chaos")
AT_ONCE = 64
"""Handshakes of ours under way at a time: more would only wait in the kernel's queue."""


@attrs.define(eq=False)
class IdleViewers:
    """`live`: how many are connected and in their village."""

    size: int
    base: str
    token: str
    village: str
    live: int = 0
    comings: int = 0
    refusal: str = ""
    _gate: trio.CapacityLimiter = attrs.field(factory=lambda: trio.CapacityLimiter(AT_ONCE))

    @property
    def whole(self) -> bool:
        """True if all of them are connected."""
        return self.live == self.size

    async def run(self) -> None:
        """Keep all viewers connected until cancelled."""
        async with trio.open_nursery() as nursery:
            for number in range(self.size):
                nursery.start_soon(self._one, Random(number))

    async def _one(self, dice: Random) -> None:
        wait = FIRST_WAIT
        while True:
            try:
                async with self._gate:
                    line = await self._connect()
                wait = FIRST_WAIT
                await self._look(line)
            except ConnectionLost as gone:
                if str(gone) != self.refusal:
                    log.info("client_gone", why=str(gone), live=self.live)
                self.refusal = str(gone)
            await trio.sleep(dice.uniform(0.5, 1.0) * wait)
            wait = min(wait * 2, LONGEST_WAIT)

    async def _connect(self) -> SocketIoClient:
        """Connect and join the village. Raises `ConnectionLost`."""
        line = await SocketIoClient.open(self.base)
        try:
            await line.greet({"token": self.token})
            await line.say("421" + json.dumps(["join_village", {"villageId": self.village}]))
            with trio.move_on_after(10):
                while not (text := await line.next()).startswith("431["):
                    pass
                if json.loads(text[3:])[0].get("ok"):
                    return line
                raise ConnectionLost(f"not let in: {text[3:]}")
            raise ConnectionLost("no answer to the join")
        except BaseException:
            with trio.CancelScope(shield=True):
                await line.aclose()
            raise

    async def _look(self, line: SocketIoClient) -> None:
        self.live += 1
        self.comings += 1
        try:
            while True:
                text = await line.next()
                start = text.find("[")
                if text.startswith("42") and start > 2:
                    await line.say(f"43{text[2:start]}[]")
        finally:
            self.live -= 1
            with trio.CancelScope(shield=True):
                await line.aclose()
