"""Authentication, roles and join checks. Start at `authenticator`, `gate` and `policy`."""

from townwatch.access.subject import (
    ANONYMOUS as ANONYMOUS,
    InvalidCredentials as InvalidCredentials,
    Subject as Subject,
)
