"""Decisions of a supervisor, as tables. Pure: OTP's supervisor.erl, without processes."""

from collections.abc import Sequence
from typing import Literal, TypeVar

from townwatch.runtime import Reason
from townwatch.runtime.kernel import is_expected

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
Restart = Literal["permanent", "transient", "temporary"]
AutoShutdown = Literal["never", "any_significant", "all_significant"]
AfterExit = Literal["restart", "keep", "remove"]

T = TypeVar("T")


def after_exit(restart: Restart, reason: Reason) -> AfterExit:
    """Decide about a child that ended by itself: start it again, keep only its spec, or remove that too."""
    match restart, is_expected(reason):
        case "permanent", _:
            return "restart"
        case "transient", False:
            return "restart"
        case "transient", True:
            return "keep"
        case "temporary", _:
            return "remove"


def restart_group(strategy: Strategy, children: Sequence[T], failed: T) -> list[T]:
    """Return the children that go down and come up with the failed one, itself included, in start order.

    All of them come up again, also a transient one that had ended normally and one stopped by `terminate_child()`:
    OTP starts every spec in the group. Temporary ones are removed when they are taken down.
    """
    match strategy:
        case "one_for_one":
            return [failed]
        case "rest_for_one":
            return list(children[children.index(failed) :])
        case "one_for_all":
            return list(children)


def shuts_down(mode: AutoShutdown, significant: bool, others_alive: bool) -> bool:
    """Return True if a supervisor ends because a child ended by itself and is not restarted.

    significant: was it a significant child; others_alive: is another significant child up or being restarted.
    """
    match mode:
        case "never":
            return False
        case "any_significant":
            return significant
        case "all_significant":
            return significant and not others_alive
