"""Rules that can never match are named, with what to write instead; no rule that can match is."""

from typing import Any

import pytest

from townwatch.contracts.policy import PolicyRule
from townwatch.policy.files import trouble_of
from townwatch.policy.never import never_matching
from townwatch.policy.rules import rules_of_lines

NEVER: list[tuple[dict[str, Any], str, str]] = [
    ({"command": "echo first > *"}, "redirection", "'echo first *'"),
    ({"command": "make 2>&1 | tee *"}, "joins commands", "'make', 'tee *'"),
    ({"command": "git add . && git push"}, "joins commands", "'git add .', 'git push'"),
    ({"command": "echo $(whoami) *"}, "substitution", "each command"),
    ({"command": "CI=1 npm test *"}, "variable", "'npm test *'"),
    ({"command": "if *"}, "the shell itself", "behind it"),
    ({"command": '"unbalanced'}, "names no command", "the words"),
    ({"path": "/etc/../x"}, "no file", "'/x'"),
    ({"path": "/src/"}, "no file", "'/src/**'"),
    ({"touches": "../other/**"}, "outside of the workspace", "migrations/**"),
    ({"host": "[fe80::]/10"}, "no host", "a network"),
    ({"provider": "claude"}, "no agent", "claude_code"),
    ({"category": "deployment"}, "none that a question has", "deploy"),
    ({"category": "budget"}, "people alone", "village's budget"),
    ({"house": "acme/app"}, "how a repository is named", "github:OWNER/NAME"),
    ({"house": "https://github.com/acme/app"}, "how a repository is named", "github:OWNER/NAME"),
    ({"branch": "refs/heads/main"}, "before a name", "main"),
    ({"branch": "a..b"}, "no name that a branch can have", "git branch"),
    ({"tool": "person", "command": "npm *"}, "by hand", "leave tool out"),
    ({"person": " "}, "is blank", "leave it out"),
]
CAN: list[dict[str, Any]] = [
    *({"command": one} for one in (
        *("*", "git *", "sudo *", "bash -c *", "xargs rm *", "*/pytest *", "rm -rf ~", "rm -rf $HOME/*"),
        *("git commit -m 'x > y' *", "npm run test:*", "ssh * rm *", "env *", "cd *", "git push* *"),
        *("./run.sh", "rm -rf /", "find * -delete"),
    )),
    *({"path": one} for one in ("**/.env", "src/**", "./x", "../x/**", "~/.ssh/**", "/etc/**", "*", "a b/*.py")),
    *({"host": one} for one in ("*", "*.example.com", "10.0.0.0/8", "::1", "Registry.NPMJS.org", "localhost")),
    *({"house": one} for one in ("github:acme/*", "*acme/app", "git*:acme/*", "/src/app", "*")),
    *({"provider": one} for one in ("claude*", "command", "*")),
    {"touches": "migrations/**"}, {"touches": "/src/app/migrations/**"}, {"branch": "release/*"}, {"category": "start"},
    {"tool": "person", "command": "git push *"}, {"tool": "Bash"}, {"hours": "22:00-06:00"},
]  # fmt: skip


@pytest.mark.parametrize(("fields", "why", "instead"), NEVER, ids=lambda one: str(one)[:40])
def test_what_can_never_match_says_why_and_what_to_write(fields: dict[str, Any], why: str, instead: str) -> None:
    (found,) = never_matching([PolicyRule(id="r", effect="deny", **fields)])
    assert why in found.why
    assert instead in found.instead
    assert found.field in fields
    assert found.line.startswith("the rule r can never match: its ")


@pytest.mark.parametrize("fields", CAN, ids=str)
def test_what_can_match_is_not_named(fields: dict[str, Any]) -> None:
    assert never_matching([PolicyRule(id="r", effect="deny", **fields)]) == []


def test_a_repositorys_file_says_what_is_wrong_with_it() -> None:
    assert trouble_of('[[rules]]\nid = "a"\neffect = "deny"\ncommand = "git push *"\n') == []
    (allow,) = trouble_of('[[rules]]\nid = "a"\neffect = "allow"\ncommand = "git push *"\n')
    assert "the rule a never counts" in allow
    (misspelt,) = trouble_of('[[rule]]\nid = "a"\neffect = "deny"\ncommand = "git push *"\n')
    assert misspelt == "rule means nothing here: rules are tables [[rules]]"
    (broken,) = trouble_of("no toml [")
    assert "everything asks" in broken
    assert "line 1" in broken


def test_lines_of_rules_are_read_as_a_villages() -> None:
    found = rules_of_lines(["# mine", "", "allow: git *", "deny-path: **/.env", "allow-net: x.org", "allow-env: CI"])
    assert [(one.id, one.effect, one.command, one.path, one.host) for one in found] == [
        ("line.3", "allow", "git *", None, None),
        ("line.4", "deny", None, "**/.env", None),
        ("line.5", "allow", None, None, "x.org"),
    ]
