"""`python -m bench.fanout [--quick]`: one command, every server in turn, a table and a plot.

The server is pinned to core 0, the load to core 1. Rounds are interleaved, so that what others do to the machine hits
everybody; a phase during which others used more than a fifth of a core is left out where enough are left.
"""

import argparse
import json
import sys
from pathlib import Path

import attrs

from bench.fanout.contenders import CONTENDERS
from bench.fanout.machine import SCRATCH, compiled, raise_open_files, sync_ms
from bench.fanout.plot import svg
from bench.fanout.report import rows, table
from bench.fanout.rounds import Plan, Sample, measure


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fanout", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two rounds, 100 and 1000 clients")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--clients", type=int, nargs="+")
    parser.add_argument("--flood", type=int, default=64, help="events in flight in the flood")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--out", type=Path, default=SCRATCH, help="folder of results.json and fanout.svg")
    return parser.parse_args()


def plan_of(given: argparse.Namespace) -> Plan:
    quick = {"rounds": 2, "clients": (100, 1000), "seconds": 1.5} if given.quick else {}
    wanted = {name: getattr(given, name) for name in ("rounds", "clients", "seconds", "flood")}
    return Plan(**{**quick, **{name: value for name, value in wanted.items() if value is not None}})


def main() -> int:
    given = arguments()
    plan = plan_of(given)
    raise_open_files()
    program = compiled("load.c")
    contenders = [CONTENDERS[name] for name in given.only]
    for contender in contenders:
        print(f"preparing {contender.title} …", file=sys.stderr)
        contender.prepare()
    samples: list[Sample] = []
    for number in range(plan.rounds):
        for clients in plan.clients:
            for contender in contenders:
                for sample in measure(plan, program, contender, clients, number):
                    samples.append(sample)
                    print(_progress(sample), file=sys.stderr, flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    Path(given.out, "results.json").write_text(json.dumps([attrs.asdict(sample) for sample in samples], indent=1))
    Path(given.out, "fanout.svg").write_text(svg(rows(samples)))
    print(f"fdatasync of a page here: {sync_ms(given.out):.2f} ms; our service does one before it delivers\n")
    print(table(samples))
    return 1 if any(sample.measured.faults for sample in samples) else 0


def _progress(sample: Sample) -> str:
    found = sample.measured
    return (
        f"{sample.round} {sample.clients:5} {sample.contender:16} {sample.phase:14} {found.per_second:11,.0f}/s "
        f"{found.cpu_per_million:6.2f} s/M p50 {found.p50_us / 1000:7.2f} p99 {found.p99_us / 1000:7.2f} ms "
        f"faults {found.faults} load {found.load_cpu / found.seconds:.2f} "
        f"server {found.server_cpu / found.seconds:.2f} "
        f"others {found.others:.2f} events/read {found.deliveries / max(1, found.reads):.1f}"
    )


if __name__ == "__main__":
    sys.exit(main())
