"""Who may: tokens of every kind, roles, join checks. Start at `authenticator`, `gate` and `policy`."""

from access.subject import ANONYMOUS as ANONYMOUS
from access.subject import InvalidToken as InvalidToken
from access.subject import Subject as Subject
