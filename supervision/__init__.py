"""OTP's supervision on actors.runtime. docs/actors.md teaches it."""

from actors.runtime import Shutdown
from supervision._base import ChildCount
from supervision.backoff import Backoff
from supervision.child import ChildInfo
from supervision.dynamic import DynamicSupervisor
from supervision.errors import ChildError, MaxIntensity, RateLimited, Refused, StartFailed, TooManyChildren
from supervision.history import Happening, History
from supervision.limits import Admission, KeyedCount, Rate, TokenBuckets
from supervision.reports import CrashReport
from supervision.spec import ChildSpec
from supervision.supervisor import Supervisor
from supervision.tree import Node, tree, waiting

__all__ = [
    "Admission", "Backoff", "ChildCount", "ChildError", "ChildInfo", "ChildSpec", "CrashReport", "DynamicSupervisor",
    "Happening", "History", "KeyedCount", "MaxIntensity", "Node", "Rate", "RateLimited", "Refused", "Shutdown",
    "StartFailed", "Supervisor", "TokenBuckets", "TooManyChildren", "tree",
    "waiting",
]  # fmt: skip
