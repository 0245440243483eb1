"""The ownership check of every route and frame that names a resource of a user.

For a user, a resource of another user does not exist: the two answers are equal. If the check and a write must be
one atomic step, the Lua function `is_owner` makes the same comparison in Redis.
"""

from collections.abc import Callable
from typing import TypeVar

from msgctl.domain.errors import NotFound

Resource = TypeVar("Resource")


def require_owner(
    kind: str, found: Resource | None, user_id: str | None, owner_of: Callable[[Resource], str]
) -> Resource:
    """Return a resource if it belongs to this user.

    Args:
        kind: the kind of resource, for the error, e.g. `agent`.
        found: the resource of any user; None if it does not exist.
        user_id: the user who asks; None for an operator, who may see every resource.
        owner_of: returns the owner of a resource.

    Raises:
        NotFound: the resource does not exist or belongs to another user.
    """
    if found is None or user_id not in (None, owner_of(found)):
        raise not_found(kind)
    return found


def not_found(kind: str) -> NotFound:
    """Return the error for a resource that does not exist or belongs to another user."""
    return NotFound(f"There is no such {kind}.")
