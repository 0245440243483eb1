"""Scripts as Redis gets them."""

import pytest

from msgctl.storage.redis import keys
from msgctl.storage.redis.lua import compose


def test_names_are_written_out_and_functions_come_along_as_needed() -> None:
    """What a function uses comes too, what nobody uses does not, and no table of names is left."""
    text = compose("return {holds_lease(ARGV[1], 1), K.mailbox}")
    assert f"'{keys.LEASES}'" in text
    assert f"'{keys.MAILBOX}'" in text
    assert "function advance_conversation" not in text
    text = compose("make_ready(ARGV[1], now_ms(), false)")
    assert "function wake_idle_worker" in text
    assert "K." not in text


def test_a_name_that_is_none_is_found_at_once() -> None:
    """Not when the script runs, with a nil in the middle of a key."""
    with pytest.raises(KeyError):
        compose("return K.no_such_name")
