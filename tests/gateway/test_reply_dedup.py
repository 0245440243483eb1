"""The memory of one socket: nothing twice, nothing lost, and small after a gap was filled."""

import random

from daemons.gateway.ws.session import ReplyDeduplicator


def test_nothing_is_shown_twice_or_withheld() -> None:
    """Whatever order numbers come in, with what `resume` says the client has: each other one is shown once."""
    chance = random.Random(7)
    for _ in range(500):
        shown, had, seen = ReplyDeduplicator(1000), 0, set[int]()
        for _ in range(60):
            number = chance.randint(1, 15)
            if chance.random() < 0.1:
                had = number
                shown.mark_received_up_to("c", number)
            assert shown.add(("c", number)) == (number > had and number not in seen)
            seen |= {number} if number > had else set()


def test_a_filled_gap_leaves_two_numbers() -> None:
    """What came before its turn joins the others once those between are there, and so does what comes later."""
    shown = ReplyDeduplicator(1000)
    for number in (1, 2, 3, 6, 7, 4, 5, *range(8, 100)):
        assert shown.add(("c", number))
    assert len(shown) == 1


def test_a_conversation_that_begins_anew_is_not_mute() -> None:
    """Its numbers come again, with younger replies: each is shown once, and none of the old ones again."""
    shown = ReplyDeduplicator(1000)
    old = [(number, f"2026-11-26T12:00:0{number}.000Z") for number in range(1, 6)]
    new = [(number, f"2026-11-26T13:00:0{number}.000Z") for number in range(1, 8)]
    assert [shown.add(("c", number), at) for number, at in (*old, *old)] == [True] * 5 + [False] * 5
    assert [shown.add(("c", number), at) for number, at in new] == [True] * 7
    assert [shown.add(("c", number), at) for number, at in (*old, *new)] == [False] * 12


def test_what_a_client_had_before_does_not_silence_a_new_beginning() -> None:
    """It came back with number 40 of a conversation that Redis lost then."""
    shown = ReplyDeduplicator(1000)
    shown.mark_received_up_to("c", 40, "2026-11-26T12:00:00.000Z")
    assert not shown.add(("c", 40), "2026-11-26T11:59:59.000Z")
    assert shown.add(("c", 1), "2026-11-26T12:00:01.000Z")
    assert shown.add(("c", 2), "2026-11-26T12:00:02.000Z")
    assert not shown.add(("c", 2), "2026-11-26T12:00:02.000Z")


def test_what_comes_out_of_order_is_no_new_beginning() -> None:
    """Number 2 was overtaken by 3 and comes after it, once; made before or, by another host's clock, after it."""
    for at in ("2026-11-26T12:00:02.000Z", "2026-11-26T12:00:09.000Z"):
        shown = ReplyDeduplicator(1000)
        for number in (1, 3):
            assert shown.add(("c", number), f"2026-11-26T12:00:0{number}.000Z")
        assert shown.add(("c", 2), at)
        assert not shown.add(("c", 2), at)
        assert not shown.add(("c", 3), "2026-11-26T12:00:03.000Z")
