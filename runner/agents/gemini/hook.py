"""The command that an agent CLI runs as a hook: it hands its standard input to the runner and prints the answer.

It is run as ``python -I -S hook.py URL`` by CLIs that know no HTTP hooks, once for every event, and so imports next to
nothing. Whatever goes wrong, it says nothing and ends with 0: a hook of ours never stands in the agent's way.
"""

import os
import sys

try:  # `socket` alone takes twice as long as all else here
    from _socket import socket
except ImportError:
    from socket import socket

SECONDS = 2.0


def main() -> None:
    """Send one request."""
    given = sys.stdin.buffer.read()
    place, _, path = sys.argv[1].removeprefix("http://").partition("/")
    host, _, port = place.partition(":")
    head = (
        f"POST /{path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {os.environ.get('TOWNWATCH_ASK_TOKEN', '')}\r\nContent-Length: {len(given)}\r\n\r\n"
    )
    connection = socket()  # closed by this process's end
    connection.settimeout(SECONDS)
    connection.connect((host, int(port)))
    connection.sendall(head.encode() + given)
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    first, _, body = answer.partition(b"\r\n\r\n")
    if b" 200 " in first.partition(b"\r\n")[0] and body.strip() not in (b"", b"{}"):
        sys.stdout.buffer.write(body)


if __name__ == "__main__":
    try:
        main()
    except Exception:
        sys.exit(0)
