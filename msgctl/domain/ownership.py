"""Whose something is: the one decision behind every route and frame that names a thing of some user.

What belongs to another user does not exist for this one, and who asks cannot tell the two apart. Where decision
and write must be one step, Redis decides: `is_owner` in redisdb/lua/common.lua, the same comparison.
"""

from collections.abc import Callable
from typing import TypeVar

from msgctl.domain.errors import NotFound

Resource = TypeVar("Resource")


def require_owner(
    kind: str, found: Resource | None, user_id: str | None, owner_of: Callable[[Resource], str]
) -> Resource:
    """What was found, if it exists for this user.

    Args:
        kind: what it is, for the error, e.g. `agent`.
        found: the thing, whoever's it is; None if there is none.
        user_id: who asks; None for an operator, for whom everything exists.
        owner_of: tells whose a thing is.

    Raises:
        NotFound: there is none, or it is another user's.
    """
    if found is None or user_id not in (None, owner_of(found)):
        raise not_found(kind)
    return found


def not_found(kind: str) -> NotFound:
    """The answer to who asks for what is not there, or not for him."""
    return NotFound(f"There is no such {kind}.")
