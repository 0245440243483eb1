"""The reply deduplicator of one socket: no duplicates, no losses, and little memory after a gap is filled."""

import random

from daemons.gateway.ws.session import ReplyDeduplicator


def test_each_reply_is_sent_once() -> None:
    """In any order of numbers, each one that the client does not have by `resume` is sent once."""
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


def test_filled_gap_is_stored_as_one_range() -> None:
    """Replies out of order join the range when the gap is filled, and so do later ones."""
    shown = ReplyDeduplicator(1000)
    for number in (1, 2, 3, 6, 7, 4, 5, *range(8, 100)):
        assert shown.add(("c", number))
    assert len(shown) == 1


def test_restarted_conversation_is_sent() -> None:
    """Its numbers come again with newer replies. Each is sent once, and no old one is sent again."""
    shown = ReplyDeduplicator(1000)
    old = [(number, f"2026-11-26T12:00:0{number}.000Z") for number in range(1, 6)]
    new = [(number, f"2026-11-26T13:00:0{number}.000Z") for number in range(1, 8)]
    assert [shown.add(("c", number), at) for number, at in (*old, *old)] == [True] * 5 + [False] * 5
    assert [shown.add(("c", number), at) for number, at in new] == [True] * 7
    assert [shown.add(("c", number), at) for number, at in (*old, *new)] == [False] * 12


def test_restarted_conversation_is_sent_after_a_resume() -> None:
    """The client resumed at 40, and then Redis lost the conversation."""
    shown = ReplyDeduplicator(1000)
    shown.mark_received_up_to("c", 40, "2026-11-26T12:00:00.000Z")
    assert not shown.add(("c", 40), "2026-11-26T11:59:59.000Z")
    assert shown.add(("c", 1), "2026-11-26T12:00:01.000Z")
    assert shown.add(("c", 2), "2026-11-26T12:00:02.000Z")
    assert not shown.add(("c", 2), "2026-11-26T12:00:02.000Z")


def test_reply_out_of_order_is_no_restart() -> None:
    """Number 2 arrives after 3 and is sent once, whether its timestamp is older or newer."""
    for at in ("2026-11-26T12:00:02.000Z", "2026-11-26T12:00:09.000Z"):
        shown = ReplyDeduplicator(1000)
        for number in (1, 3):
            assert shown.add(("c", number), f"2026-11-26T12:00:0{number}.000Z")
        assert shown.add(("c", 2), at)
        assert not shown.add(("c", 2), at)
        assert not shown.add(("c", 3), "2026-11-26T12:00:03.000Z")
