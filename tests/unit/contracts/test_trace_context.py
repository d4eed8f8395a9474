"""The header traceparent, as W3C Trace Context says it."""

import pytest

from townwatch.contracts.tracing import context as trace_context
from townwatch.contracts.tracing.context import TraceContext, span_id_of, trace_id_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_it_is_read_and_written() -> None:
    found = trace_context.read(f"00-{TRACE}-{SPAN}-01")
    assert found == TraceContext(TRACE, SPAN)
    assert found.header == f"00-{TRACE}-{SPAN}-01"
    unsampled = trace_context.read(f"00-{TRACE}-{SPAN}-00")
    assert unsampled is not None and not unsampled.sampled
    assert unsampled.child().header.endswith("-00")


def test_a_later_version_may_have_more() -> None:
    assert trace_context.read(f"cc-{TRACE}-{SPAN}-01-what-comes") == TraceContext(TRACE, SPAN)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01,00-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-{'x' * 1000}",
        f"00-{TRACE}-{SPAN}-01\nx: y",
    ],
)
def test_what_is_none_is_none(header: str | None) -> None:
    assert trace_context.read(header) is None


def test_a_child_is_in_the_same_trace() -> None:
    above = trace_context.begun()
    below = above.child()
    assert (below.trace_id, below.sampled) == (above.trace_id, True)
    assert below.span_id != above.span_id
    assert trace_context.read(below.header) == below


def test_ids_that_are_named_are_the_same_each_time() -> None:
    assert trace_id_of("a", 1) == trace_id_of("a", 1) != trace_id_of("a", 2)
    assert span_id_of("a1") != span_id_of("a", 1)
    assert (len(trace_id_of("\ud800")), len(span_id_of(""))) == (32, 16)
