"""What is inside exception groups."""

from townwatch.contracts.faults import first_cause, leaves

ONE, TWO = ValueError("one"), OSError("two")
NESTED = ExceptionGroup("outer", [ExceptionGroup("inner", [ONE]), TWO])


def test_leaves_are_in_order_and_a_plain_error_is_its_own() -> None:
    assert list(leaves(NESTED)) == [ONE, TWO]
    assert list(leaves(ONE)) == [ONE]


def test_the_first_of_several() -> None:
    assert first_cause(NESTED) is ONE
    assert first_cause(TWO) is TWO


def test_a_cancellation_counts_as_a_cause() -> None:
    stop = KeyboardInterrupt()
    assert first_cause(BaseExceptionGroup("outer", [stop, ONE])) is stop
