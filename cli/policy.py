"""`townwatch policy`: try rules, and ask why a command is allowed, asked or denied."""

from __future__ import annotations

import json as json_
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from cyclopts import App, Parameter

from townwatch.cli.shared import complain, text_of

if TYPE_CHECKING:
    from townwatch.policy.commands.paths import Place

policy_app = App(name="policy", help="Check rules, and explain what they decide about a command line.")


@policy_app.command
def decide(*, cases: Path) -> int:
    """Decide each case of a table by its own rules: one JSON object {"id", "verdict", "rule"} a line.

    Parameters
    ----------
    cases
        JSON lines: id, policy (neutral rules), command, cwd, root?, shell?, fs?
    """
    from townwatch.policy.rules import BadRule

    status = 0
    for number, line in enumerate(text_of(cases).split("\n"), 1):
        if not line.strip():
            continue
        try:
            print(json_.dumps(_decide_case(json_.loads(line))))
        except BadRule as error:
            status = complain(f"{cases}:{number}: {error}")
        except (ValueError, KeyError, TypeError, AttributeError):
            status = complain(f"{cases}:{number}: no case: a JSON object with id, policy (a list) and command is one")
    return status


def _decide_case(case: dict[str, Any]) -> dict[str, str | None]:
    from townwatch.policy.rules import command_policy, decide_command

    policy = command_policy([str(one) for one in case["policy"]], _place_of(case))
    found = decide_command(policy, str(case["command"]), str(case.get("shell", "bash")))
    return {"id": case["id"], "verdict": found.verdict, "rule": found.rule}


def _place_of(case: dict[str, Any]) -> Place:
    from townwatch.policy.commands.paths import Place

    directory = str(case.get("cwd", "/work/app"))
    facts = cast(dict[str, Any], case.get("fs") or {})

    def absolute(path: str) -> str:
        if path.startswith("~"):
            return f"/home/dev{path[1:]}"
        return path if path.startswith("/") else f"{directory}/{path}"

    links = cast(dict[str, str], facts.get("symlinks") or {})
    return Place(
        root=str(case.get("root", directory)),
        directory=directory,
        links={absolute(name): target for name, target in links.items()},
        files=frozenset(absolute(name) for name in cast(list[str], facts.get("files") or [])),
        fold_case=bool(facts.get("case_insensitive")),
    )


@policy_app.command
def check(file: Path | None = None, *, json: bool = False) -> int:
    """Say which rules of a file can never match, and what to write instead. Status 1: there are some.

    Parameters
    ----------
    file
        .townwatch/policy.toml (the default), JSON with "rules" as the API has it, or lines `allow: WORDS`
    json
        one JSON array instead of lines
    """
    from townwatch.policy import files

    path = file or Path(files.NAME)
    text = text_of(path)
    try:
        found = _trouble(path, text)
    except json_.JSONDecodeError as error:
        return complain(f"{path}: it is no JSON: line {error.lineno}, column {error.colno}")
    except ValueError as error:
        return complain(f"{path}: {error}")
    if json:
        print(json_.dumps(found))
    else:
        print("\n".join(found) if found else f"{path}: every rule can match")
    return 1 if found else 0


def _trouble(path: Path, text: str) -> list[str]:
    """Return what is wrong with the rules of a file, a line each. Raises ValueError for what holds no rules."""
    from townwatch.contracts.codec import Decoder
    from townwatch.contracts.policy import PolicyBody
    from townwatch.policy import files
    from townwatch.policy.never import never_matching
    from townwatch.policy.rules import rules_of_lines

    if path.suffix == ".toml":
        return files.trouble_of(text)
    if text.lstrip().startswith("{"):
        body: PolicyBody = Decoder(PolicyBody).convert({"rules": json_.loads(text).get("rules", [])})
        body.check()
        return [one.line for one in never_matching(body.rules)]
    return [one.line for one in never_matching(rules_of_lines(text.splitlines()))]


@policy_app.command
def explain(
    command: str,
    *,
    rule: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    rules: Path | None = None,
    shell: str = "bash",
    json: bool = False,
) -> int:
    """Say what the rules decide about a command line, and why. 0: allowed, 1: denied, 3: a person is asked.

    Parameters
    ----------
    command
        the command line, as one argument
    rule
        a rule as `allow: git status *`; may be given several times
    rules
        a file of rules, one a line, # for comments
    shell
        the shell that runs it: bash, bash-interactive, zsh, fish, pwsh, cmd
    json
        one JSON object instead of lines
    """
    from townwatch.policy.commands.paths import Place
    from townwatch.policy.never import never_matching
    from townwatch.policy.rules import BadRule, command_policy, examine_command, rules_of_lines

    lines = list(rule)
    if rules is not None:
        lines += [one.strip() for one in text_of(rules).splitlines() if one.strip() and one.strip()[0] != "#"]
    here = os.getcwd()
    place = Place(root=here, directory=here, home=str(Path.home()), user=os.environ.get("USER", ""))
    try:
        policy = command_policy(lines, place)
    except BadRule as error:
        return complain(str(error))
    found, all_findings = examine_command(policy, command, shell)
    for one in never_matching(rules_of_lines(lines)):
        print(f"townwatch: {one.line}", file=sys.stderr)
    if json:
        steps = [
            {"verdict": one.verdict, "rule": one.rule, "why": one.reason, "of": one.command} for one in all_findings
        ]
        print(json_.dumps({"verdict": found.verdict, "rule": found.rule, "why": found.reason, "steps": steps}))
    else:
        print(f"{found.verdict}: {found.reason}")
        for one in all_findings:
            print(f"  {one.verdict:5}  {one.command or '(the line)'}: {one.reason}")
    return {"allow": 0, "deny": 1}.get(found.verdict, 3)
