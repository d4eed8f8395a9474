"""How fast secrets are masked: megabytes a second of ordinary, coloured and adversarial text.

python bench/masking.py [--seconds 0.5]
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from townwatch.contracts.secrets.shapes import masked_event
from townwatch.runner.session.redact import Redactor

PIECE = 64 * 1024
SOURCE = (Path(__file__).parents[1] / "runner" / "session.py").read_text()
ADVERSARIAL = [
    "-eyJ",
    "-ghp_",
    "-----BEGIN ",
    "-sk-",
    "-AIza",
    "-tw_",
    "-----BEGIN PRIVATE KEY-----\n",
    ".eyJaaaaaaaaaa",
]
SECRETS = [f"s3cr3t-{number}-{'Zq8xKJ2w' * 4}" for number in range(5)]


def texts() -> dict[str, str]:
    """Texts of one piece each, by name."""
    lines = SOURCE.splitlines() * 20
    coloured = "".join(f"\x1b[3{number % 8}m{line}\x1b[0m\r\n" for number, line in enumerate(lines))
    found = {
        "ordinary": "\r\n".join(lines),
        "coloured": coloured,
        "not Latin": "".join(f"│ {line}\r\n" for line in lines),
        "digits": "".join(f"{number}\r\n" for number in range(PIECE)),
        "dashes": "-" * PIECE,
        "underscores": "_" * PIECE,
    }
    found |= {f"repeated {start.strip()!r}": start * (PIECE // len(start) + 1) for start in ADVERSARIAL}
    return {name: text[:PIECE] for name, text in found.items()}


def speed(work: Callable[[], object], size: int, seconds: float) -> float:
    """Megabytes a second of processor time: other programs on the machine do not count."""
    work()
    done, began = 0, time.process_time()
    while (spent := time.process_time() - began) < seconds:
        work()
        done += size
    return done / spent / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each is measured")
    seconds = parser.parse_args().seconds
    print(f"{'MB/s':32}{'runner':>10}{'5 secrets':>10}{'service':>10}")
    for name, text in texts().items():
        body = json.dumps({"type": "TERMINAL_CHUNK", "data": text}, ensure_ascii=False).encode()
        plain, knowing = Redactor(), Redactor(SECRETS)
        found = [
            speed(lambda redactor=plain, text=text: redactor.feed(text), len(text), seconds),
            speed(lambda redactor=knowing, text=text: redactor.feed(text), len(text), seconds),
            speed(lambda body=body: masked_event(body), len(body), seconds),
        ]
        print(f"{name:32}" + "".join(f"{one:10.1f}" for one in found))
    redactor = Redactor(SECRETS)
    print(f"one key's echo: {1e6 / (speed(lambda: redactor.feed('x', echo=True), 1, seconds) * 1e6):.1f} µs")


if __name__ == "__main__":
    main()
