"""OTP's supervision on townwatch.runtime. docs/actors.md teaches it."""

from townwatch.runtime import Shutdown
from townwatch.supervision.backoff import Backoff
from townwatch.supervision.dynamic import DynamicSupervisor
from townwatch.supervision.errors import (
    ChildError,
    LimitReached,
    MaxIntensity,
    RateLimited,
    StartFailed,
    TooManyChildren,
)
from townwatch.supervision.history import History, HistoryEvent
from townwatch.supervision.limits import AdmissionLimits, KeyedCount, Rate, RateWindow, TokenBuckets
from townwatch.supervision.reports import CrashReport
from townwatch.supervision.requests import (
    ChildCount,
    ChildInfo,
    CountChildren,
    DeleteChild,
    FindChild,
    RestartChild,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from townwatch.supervision.spec import ChildOptions, ChildSpec, child
from townwatch.supervision.supervisor import Supervisor
from townwatch.supervision.tree import Node, tree, waiting

__all__ = [
    "AdmissionLimits", "Backoff", "ChildCount", "ChildError", "ChildInfo", "ChildOptions", "ChildSpec", "CountChildren",
    "CrashReport", "DeleteChild", "DynamicSupervisor", "FindChild", "History", "HistoryEvent", "KeyedCount",
    "LimitReached", "MaxIntensity", "Node", "Rate", "RateLimited", "RateWindow", "RestartChild", "Shutdown",
    "StartChild", "StartFailed", "Supervisor", "TerminateChild", "TokenBuckets", "TooManyChildren", "WhichChildren",
    "child", "tree", "waiting",
]  # fmt: skip
