"""Wall-clock time as every wire, table and log has it: epoch milliseconds."""

import time


def epoch_ms() -> int:
    """Return the wall-clock time in whole epoch milliseconds."""
    return time.time_ns() // 1_000_000
