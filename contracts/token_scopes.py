"""Scopes that a token can be limited to, by name."""

from typing import Literal

Scope = Literal["read", "drive", "decide", "manage", "admin"]
