"""Start a command in a directory, answer what it asks, and print what it shows. Run: drive_a_session.py DIRECTORY CMD…

The service and the token are those of TOWNWATCH_URL and TOWNWATCH_TOKEN (townwatch serve; make one on the page).
"""

import sys

import trio

from townwatch.client import RemoteSession, TownwatchClient
from townwatch.contracts.events import SessionEnded, TerminalChunk


async def main(directory: str, command: list[str]) -> int:
    session = await TownwatchClient.at().start(directory, command=command)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(allow_all, session)
        async with session.follow() as events:
            async for event in events:
                match event:
                    case TerminalChunk():
                        print(event.data, end="", flush=True)
                    case SessionEnded():
                        print(f"{event.final_state}, exit code {event.exit_code}")
                    case _:
                        pass
        nursery.cancel_scope.cancel()
    return 0 if (await session.view()).state == "COMPLETED" else 1


async def allow_all(session: RemoteSession) -> None:
    """Say yes to everything, which is for examples."""
    while (await session.wait()).view.state not in ("COMPLETED", "FAILED"):
        for asked in await session.approvals():
            await session.allow(asked.approval_id, note="the example says yes")


if __name__ == "__main__":
    sys.exit(trio.run(main, sys.argv[1], sys.argv[2:]))
