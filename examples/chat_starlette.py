"""The same chat beside a web application, on Hypercorn with trio. Run: chat_starlette.py [PORT]

Needs `pip install starlette hypercorn`. FastAPI and Litestar go the same way: wrap their application in ASGIApp.
"""

import sys

import trio
from chat_server import server
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from townwatch.transports.socketio import ASGIApp


async def home(_request: Request) -> PlainTextResponse:
    clients = list(server.manager.get_participants("/", None))
    return PlainTextResponse(f"{len(clients)} people are here\n")


app = ASGIApp(server, Starlette(routes=[Route("/", home)]))
"""Or from a shell: hypercorn --worker-class trio chat_starlette:app"""


async def main(port: int) -> None:
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    async with trio.open_nursery() as nursery:
        (address,) = await nursery.start(serve, app, config)
        print(address, flush=True)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]) if sys.argv[1:] else 8000)
