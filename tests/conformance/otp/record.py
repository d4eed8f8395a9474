"""Record the corpus anew on a real OTP supervisor: `python -m tests.conformance.otp.record [count] [first seed]`.

Needs `erl` and `erlc` (Debian: erlang-base). The corpus is one JSON line a scenario, [scenario, trace], in xz.
"""

import json
import lzma
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from tests.conformance.otp.scenarios import Scenario, as_erlang, scenario

HERE = pathlib.Path(__file__).parent
CORPUS = HERE / "corpus.jsonl.xz"


def ask_otp(scenarios: list[Scenario]) -> list[str]:
    """The traces of OTP's own supervisor."""
    if not (shutil.which("erl") and shutil.which("erlc")):
        sys.exit("erl and erlc are needed to record the corpus: install Debian's erlang-base")
    with tempfile.TemporaryDirectory() as directory:
        file = pathlib.Path(directory, "scenarios.term")
        file.write_text("\n".join(as_erlang(one) for one in scenarios) + "\n")
        subprocess.run(["erlc", "-o", directory, str(HERE / "oracle.erl")], check=True)
        command = f'oracle:main(["{file}"]), halt().'
        erl = ["erl", "-noshell", "-pa", directory, "-eval", command]
        return subprocess.run(erl, capture_output=True, text=True, check=True).stdout.splitlines()


def recorded() -> Iterator[tuple[Scenario, str]]:
    """The committed corpus."""
    with lzma.open(CORPUS, "rt") as lines:
        for line in lines:
            one, trace = json.loads(line)
            yield one, trace


def main(count: int = 3000, first: int = 0) -> None:
    """Write the corpus."""
    scenarios = [scenario(seed) for seed in range(first, first + count)]
    traces = ask_otp(scenarios)
    with lzma.open(CORPUS, "wt") as lines:
        for one, trace in zip(scenarios, traces, strict=True):
            lines.write(json.dumps([one, trace], separators=(",", ":")) + "\n")
    print(f"{count} scenarios, {CORPUS.stat().st_size} bytes, {sum(trace.count('+') for trace in traces)} starts, "
          f"{sum('dead' in trace for trace in traces)} ends before the end, "
          f"{sum(trace.count('!') for trace in traces)} failed starts, "
          f"{sum(trace.count('=') for trace in traces)} answers")  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
