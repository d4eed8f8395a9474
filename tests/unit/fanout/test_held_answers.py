"""Large answers that wait for their readers: bounded in all, and one address cannot take all of it."""

from townwatch.transports.edge.sending import SendBudget


def test_one_address_gets_half_and_others_the_rest() -> None:
    held = SendBudget(100)
    assert held.take("a", 30)
    assert held.take("a", 20)
    assert not held.take("a", 1)
    assert held.take("b", 50)
    assert not held.take("b", 1)


def test_an_answer_larger_than_the_budget_is_sent_when_nothing_else_is_held() -> None:
    held = SendBudget(100)
    assert held.take("a", 500)
    assert not held.take("b", 1)
    held.give_back("a", 500)
    assert held.take("b", 1)
