"""The memory of one socket: nothing twice, nothing lost, and small after a gap was filled."""

import random

from daemons.gateway.shown import Shown


def test_nothing_is_shown_twice_or_withheld() -> None:
    """Whatever order numbers come in, with what `resume` says the client has: each other one is shown once."""
    chance = random.Random(7)
    for _ in range(500):
        shown, had, seen = Shown(1000), 0, set[int]()
        for _ in range(60):
            number = chance.randint(1, 15)
            if chance.random() < 0.1:
                had = number
                shown.skip("c", number)
            assert shown.add(("c", number)) == (number > had and number not in seen)
            seen |= {number} if number > had else set()


def test_a_filled_gap_leaves_two_numbers() -> None:
    """What came before its turn joins the others once those between are there, and so does what comes later."""
    shown = Shown(1000)
    for number in (1, 2, 3, 6, 7, 4, 5, *range(8, 100)):
        assert shown.add(("c", number))
    assert len(shown) == 1
