"""Pages: a cursor is a place in the order, not a number of items."""

import pytest
from hypothesis import given, strategies as st

from townwatch.transports.http.paging import cut
from townwatch.transports.http.problems import ProblemError


def key(item):
    return (item % 7, str(item))


@given(st.sets(st.integers(0, 500)), st.integers(1, 20))
def test_all_pages_together_are_the_list_in_order(items, limit):
    found, cursor = [], None
    while True:
        page, cursor = cut(items, key, cursor, limit)
        found += page
        if cursor is None:
            break
        assert len(page) == limit
    assert found == sorted(items, key=key)


def test_what_goes_between_two_pages_moves_nothing():
    items = set(range(10))
    first, cursor = cut(items, lambda one: (one,), None, 4)
    items -= {0, 1, 3}
    second, _ = cut(items, lambda one: (one,), cursor, 4)
    assert (first, second) == ([0, 1, 2, 3], [4, 5, 6, 7])


@pytest.mark.parametrize("cursor", ["0", "x", "bnVsbA", "WyJhIl0", "é", "eyJhIjoxfQ", "W1tbW1tbW1tb"])
def test_a_cursor_that_no_list_gave_out_is_no_page(cursor):
    with pytest.raises(ProblemError) as caught:
        cut([1, 2], lambda one: (one,), cursor, 5)
    assert caught.value.status == 404
