"""`townwatch tree`: the supervision tree in the terminal, from /api/supervision."""

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

SHOWN = 12
"""Children shown of each supervisor; the rest is a number."""
SECONDS = 1.0


class NoTree(Exception):
    """The service did not answer with a tree; the message is one line."""


def fetch(url: str, token: str) -> dict[str, Any]:
    """The tree as the API has it. Raises `NoTree`."""
    request = urllib.request.Request(f"{url}/api/supervision", headers={"authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        raise NoTree(f"{url}: {error.code} {error.reason}") from None
    except (OSError, ValueError) as error:
        raise NoTree(f"{url}: {error}") from None


def show(url: str, token: str, *, once: bool, as_json: bool) -> None:
    """Print it, again and again in place unless `once`. Raises `NoTree`."""
    handled: dict[str, int] = {}
    while True:
        root = fetch(url, token)
        lines = [json.dumps(root)] if as_json else list(render(root, handled))
        if once:
            print("\n".join(lines))
            return
        handled = {str(n["path"]): n["mailbox"]["handled"] for n in _all(root) if n["mailbox"]}
        sys.stdout.write(("" if as_json else "\x1b[H\x1b[2J") + "\n".join(lines) + "\n")
        sys.stdout.flush()
        time.sleep(SECONDS)


def render(root: dict[str, Any], handled: dict[str, int]) -> Iterator[str]:
    """The lines. `handled`: path → messages handled a second ago, for the rate; empty the first time."""
    yield f"{'ACTOR':44} {'STATE':10} {'MAILBOX':>13} {'MSG/S':>7} {'RESTARTS':>10}  LAST EXIT"
    yield from _lines(root, "", "", handled)


def _lines(node: dict[str, Any], lead: str, rail: str, handled: dict[str, int]) -> Iterator[str]:
    yield _line(node, lead, handled)
    shown = node["children"][:SHOWN]
    left = len(node["children"]) - len(shown) + node["more"]
    for number, child in enumerate(shown, 1):
        last = number == len(shown) and not left
        yield from _lines(child, rail + ("└ " if last else "├ "), rail + ("  " if last else "│ "), handled)
    if left:
        yield f"{rail}└ and {left} more"


def _line(node: dict[str, Any], lead: str, handled: dict[str, int]) -> str:
    box, name = node["mailbox"], lead + node["id"]
    if node["strategy"]:
        name += f" ({node['strategy']})"
    waiting = "-" if box is None else f"{box['depth']}/{box['capacity'] or '∞'}"
    before = handled.get(str(node["path"]))
    rate = "-" if box is None or before is None else str(max(0, box["handled"] - before))
    restarts = str(node["restarts"])
    if node["intensity"] is not None:
        restarts += f" {node['recent']}/{node['intensity']}"
    last = node["lastExit"]
    ended = "" if last is None else f"{last['age']:.0f} s ago: {last['reason']}"
    return f"{name[:44]:44} {node['state']:10} {waiting:>13} {rate:>7} {restarts:>10}  {ended}".rstrip()


def _all(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node["children"]:
        yield from _all(child)
