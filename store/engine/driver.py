"""psycopg's errors, also where it is not installed: a service on SQLite does without it, and nothing raises them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg import Error as Error, OperationalError as OperationalError
    from psycopg.errors import LockNotAvailable as LockNotAvailable
else:
    try:
        from psycopg import Error, OperationalError
        from psycopg.errors import LockNotAvailable
    except ModuleNotFoundError:

        class Error(Exception):
            """Stands for psycopg's."""

        class OperationalError(Error):
            """Stands for psycopg's."""

        class LockNotAvailable(OperationalError):
            """Stands for psycopg's."""
