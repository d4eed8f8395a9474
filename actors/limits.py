"""Rate limits for a person or runner: set by the configuration, enforced where the work is done."""

import attrs

from townwatch.supervision import Rate, TokenBuckets


@attrs.define(eq=False, kw_only=True)
class RateLimits:
    """`joins` within `joins_seconds` of one connection; the buckets are by person, over all of their connections.

    A bucket that is empty raises `supervision.RateLimited`: which limit, how many, and when to try again.
    """

    joins: int = 20
    joins_seconds: float = 5.0
    sessions_per_runner: int = 500
    typing: TokenBuckets = attrs.field(factory=lambda: TokenBuckets("typing", Rate(per_second=50, burst=200)))
    subscriptions: TokenBuckets = attrs.field(
        factory=lambda: TokenBuckets("subscriptions", Rate(per_second=50, burst=200))
    )
