"""Place of a piece of work in a distributed trace, and its header (W3C Trace Context, level 1)."""

import hashlib
import re
import secrets

import attrs

_HEADER = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
SAMPLED = 1


@attrs.frozen
class TraceContext:
    """`span_id`: the span under which the next ones belong. `sampled`: whether its maker records it."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @property
    def header(self) -> str:
        """Return it as the value of ``traceparent``."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"

    def child(self, span_id: str | None = None) -> "TraceContext":
        """Return a place below this one, by default with an id of chance."""
        return attrs.evolve(self, span_id=span_id or secrets.token_hex(8))


def begun() -> TraceContext:
    """Return the first place of a new trace."""
    return TraceContext(secrets.token_hex(16), secrets.token_hex(8))


def read(header: str | None) -> TraceContext | None:
    """Return the place that a header names; None where there is none, or it is not as the standard says."""
    found = _HEADER.fullmatch(header.strip()) if header is not None and len(header) <= 256 else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & SAMPLED))


def trace_id_of(*parts: str | int) -> str:
    """Return the id of a trace that is named by what it is about: made again, it is the same."""
    return _digest(16, parts)


def span_id_of(*parts: str | int) -> str:
    """Return the id of a span that is named by what it is about."""
    return _digest(8, parts)


def _digest(size: int, parts: tuple[str | int, ...]) -> str:
    text = "\0".join(map(str, parts))
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=size).hexdigest()
