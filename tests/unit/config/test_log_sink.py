"""A sink of the log: never raises, never blocks, counts what it loses and says so."""

import io
import os
from pathlib import Path

import pytest
import structlog

from townwatch.config.log_sink import LOST, LogSink, Losses
from townwatch.config.logs import configure
from townwatch.config.settings import LoggingSettings


class Broken(io.StringIO):
    """A buffer whose writes fail."""

    def write(self, _text: str, /) -> int:
        raise OSError(28, "No space left on device")


def test_lines_arrive_in_order(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        sink = LogSink(file, Losses())
        for number in range(1000):
            sink.write(f"line {number}\n")
        assert sink.drain(10)
    assert (tmp_path / "log").read_text().splitlines() == [f"line {number}" for number in range(1000)]


@pytest.mark.parametrize("stream", [None, Broken()], ids=["missing", "broken"])
def test_a_stream_that_takes_nothing_loses_lines_and_counts_them(stream: io.StringIO | None) -> None:
    losses = Losses()
    sink = LogSink(stream, losses)
    for _ in range(3):
        sink.write("a line\n")
    assert losses.count == 3


def test_lines_beyond_the_queue_are_lost_and_said_when_the_reader_goes_on() -> None:
    reader, writer = os.pipe()
    losses = Losses()
    sink = LogSink(os.fdopen(writer, "w"), losses, max_waiting=1000)
    for _ in range(2000):
        sink.write("x" * 99 + "\n")
    assert losses.count > 0
    found = b""
    while b"log_lines_lost" not in found:
        found += os.read(reader, 65536)
        if not losses.count or sink.drain(0):
            sink.write("one more\n")
    os.close(reader)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_value_that_cannot_be_shown_costs_its_line_only(form: str) -> None:
    class Odd:
        def __repr__(self) -> str:
            raise ValueError("no")

        __str__ = __repr__

    out = io.StringIO()
    configure(LoggingSettings(format=form), out)  # type: ignore[arg-type]
    before = LOST.count
    try:
        structlog.get_logger("room").info("odd", value=Odd())
        structlog.get_logger("room").info("even", value=1)
    finally:
        structlog.reset_defaults()
    assert LOST.count >= before
    assert "even" in out.getvalue()
