"""The table of close codes."""

import pytest

from townwatch.transports.websocket.close_codes import SENDABLE, CloseCode


@pytest.mark.parametrize("code", CloseCode)
def test_a_code_is_the_number_on_the_wire_and_says_what_it_means(code: CloseCode) -> None:
    assert int(code).to_bytes(2, "big") == code.value.to_bytes(2, "big")
    assert code.meaning


def test_every_code_but_that_of_a_lost_connection_may_be_sent() -> None:
    assert set(CloseCode) - SENDABLE == {CloseCode.LOST}


def test_clients_come_back_after_what_passes_by_itself() -> None:
    assert {code.name for code in CloseCode if code.retry} == {"GOING_AWAY", "LOST", "RESTARTING", "TRY_AGAIN"}
