"""The file in a repository, `.townwatch/policy.toml`: rules that ask and deny beyond the village's own. Pure."""

import tomllib
from typing import Any

from townwatch.contracts.codec import ContractError, Decoder
from townwatch.contracts.policy import PolicyBody, PolicyRule

NAME = ".townwatch/policy.toml"
MAX_BYTES = 256 * 1024
_body = Decoder(PolicyBody)
BROKEN = PolicyRule(id="policy.toml", effect="ask", note="the repository's policy file cannot be read")
"""Stands for a file that cannot be read: everything asks, for what it would have denied is not known."""


def read_rules(text: str) -> list[PolicyRule]:
    """Return the rules of a file: ``[[rules]]`` tables. A file that is wrong gives one rule: everything asks."""
    try:
        return _parsed(text)
    except ValueError:
        return [BROKEN]


def trouble_of(text: str) -> list[str]:
    """Return what is wrong with a file, a line each: that it cannot be read, or rules of it that can never count."""
    from townwatch.policy.never import never_matching  # here: most repositories have no such file

    try:
        rules = _parsed(text)
    except ValueError as error:
        return [f"{NAME} is wrong, and everything asks until it is right: {error}"]
    allows = [one.id for one in rules if one.effect == "allow"]
    unknown = [name for name in tomllib.loads(text) if name != "rules"]
    why = "a repository's file asks and denies; allow in the village"
    lines = [f"{name} means nothing here: rules are tables [[rules]]" for name in unknown]
    lines += [f"the rule {one} never counts: {why}" for one in allows]
    return [*lines, *(one.line for one in never_matching(rules))]


def _parsed(text: str) -> list[PolicyRule]:
    """Raises ValueError with the reason."""
    try:
        raw: dict[str, Any] = tomllib.loads(text)
        body = _body.convert({"rules": raw.get("rules", [])})
        body.check()
    except (tomllib.TOMLDecodeError, ContractError) as error:
        raise ValueError(str(error)) from None
    except (RecursionError, TypeError) as error:
        raise ValueError(f"it is nested too deeply, or no table of rules ({type(error).__name__})") from None
    return body.rules
