"""A million command lines of shell syntax against the rules: `python -m tests.policy_fuzz [COUNT] [SEED]`.

No line may crash the engine; none that holds a denied command by a second, simple reading may be allowed.
"""

import random
import sys
import time

from townwatch.policy.commands.paths import Place
from townwatch.policy.rules import command_policy, decide_command

PIECES = (
    (
        "ls|rm|git|push|echo|cat|-rf|--force|sudo|env|bash|-c|x|.env|~/.ssh|$x|A=1|sh|xargs|find|-exec|tar|src/a|sed|awk|"
        ";|&&|%|||&|(|)|{ |; }|$(|`|'|\"|\\|<|>|<<E\n|E\n|$((|))|${|}|*|?|[|]|~|#|!|if |then |fi|for i in |do |"
        "done|\t|=|\n"
    )
    .replace("%", "|")
    .split("|")
)
RULES = [
    "allow: ls *",
    "allow: echo *",
    "allow: git *",
    "allow: cat *",
    "allow: sed *",
    "deny: rm *",
    "deny-path: **/.env",
]


def main(count: int, seed: int) -> int:
    """Run and print the figures; 1 where something was wrong."""
    dice = random.Random(seed)
    policy = command_policy(RULES, Place())
    began, slowest, wrong = time.perf_counter(), 0.0, 0
    verdicts = {"allow": 0, "ask": 0, "deny": 0}
    for number in range(count):
        line = "".join(dice.choice(PIECES) + dice.choice((" ", " ", "")) for _ in range(dice.randrange(1, 24)))
        at = time.perf_counter()
        try:
            found = decide_command(policy, line)
        except Exception as error:
            wrong += 1
            print(f"{number}: {type(error).__name__}: {error}: {line!r}")
            continue
        slowest = max(slowest, time.perf_counter() - at)
        verdicts[found.verdict] += 1
        plain = not any(c in line for c in "'\"\\#$`{}<>()[]~*?=")
        commands = line.replace("\n", ";").replace("&", ";").replace("|", ";").split(";")
        hidden = any(one.split()[:1] == ["rm"] for one in commands)
        if found.verdict == "allow" and plain and hidden:
            wrong += 1
            print(f"{number}: allowed: {line!r}")
    seconds = time.perf_counter() - began
    print(f"{count} lines in {seconds:.0f} s, slowest {slowest * 1000:.1f} ms, {verdicts}, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int((sys.argv[1:] or ["1000000"])[0]), int((sys.argv[2:] or ["1"])[0])))
