"""What is on its way to the service: the window in events, and fair shares in bytes."""

from townwatch.runner.link.flights import ALONE_BYTES, LEAST_BYTES, LIVELY_SECONDS, TOGETHER_BYTES, Flights


def begun(*sessions: str, window: int = 100) -> Flights:
    flights = Flights(window)
    flights.begin(window, dict.fromkeys(sessions, 0))
    return flights


def says(flights: Flights, session: str, seq: int, size: int, now: float) -> None:
    flight = flights.of(session, 0)
    flight.send(seq, size)
    flight.lively_at = now


def test_the_window_counts_the_events_of_all_sessions() -> None:
    flights = begun("a", "b", window=10)
    says(flights, "a", 3, 1, 0)
    says(flights, "b", 4, 1, 0)
    assert flights.room == 3
    flights.of("b", 0).ack(4)
    assert flights.room == 7


def test_a_session_alone_may_fill_a_connection() -> None:
    flights = begun("flood", "silent")
    says(flights, "flood", 1, 1000, 0)
    assert flights.share("flood", 1) == ALONE_BYTES - 1000


def test_beside_one_that_says_something_it_has_half() -> None:
    flights = begun("flood", "shell")
    says(flights, "flood", 1, 1000, 0)
    says(flights, "shell", 1, 10, 0)
    assert flights.share("flood", 1) == TOGETHER_BYTES // 2 - 1000
    assert flights.share("flood", LIVELY_SECONDS + 1) == ALONE_BYTES - 1000


def test_a_key_makes_room_before_its_echo_is_there() -> None:
    flights = begun("flood", "shell")
    says(flights, "flood", 1, TOGETHER_BYTES, 0)
    flights.typed("shell", 0.5)
    assert flights.share("flood", 1) == 0
    assert flights.share("shell", 1) == TOGETHER_BYTES // 2


def test_a_share_comes_back_with_the_acknowledgement_and_is_never_nothing() -> None:
    sessions = [f"s{number}" for number in range(100)]
    flights = begun(*sessions)
    for session in sessions:
        says(flights, session, 1, 10, 0)
        says(flights, session, 2, LEAST_BYTES, 0)
    assert flights.share("s0", 0) == 0
    flights.of("s0", 0).ack(1)
    assert flights.share("s0", 0) == 0
    flights.of("s0", 0).ack(2)
    assert flights.share("s0", 0) == LEAST_BYTES


def test_a_new_connection_starts_over_with_nothing_on_its_way() -> None:
    flights = begun("a")
    says(flights, "a", 5, 1 << 20, 0)
    flights.begin(50, {"a": 2})
    assert flights.places(100) == {"a": (2, ALONE_BYTES)}
    assert flights.room == 50


def test_what_the_service_had_already_is_not_sent_again() -> None:
    flights = begun("a")
    flights.of("a", 0).ack(7)
    assert flights.places(0)["a"][0] == 7
