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
        raw: dict[str, Any] = tomllib.loads(text)
        body = _body.convert({"rules": raw.get("rules", [])})
        body.check()
    except (tomllib.TOMLDecodeError, ContractError, RecursionError, TypeError):
        return [BROKEN]
    return body.rules
