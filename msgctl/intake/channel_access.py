"""The decision at acceptance whether a user may use a channel, and whether the channel can deliver the reply.

The senders of phone channels belong to somebody: the user whose agent answers at them. Without this decision,
every valid token could write to anybody in the name of another user's number or bot.
"""

from collections.abc import Iterable

from msgctl.channels.base import ChannelSpec
from msgctl.channels.registry import find_channel
from msgctl.config.settings import Settings
from msgctl.domain.errors import ChannelNotConfigured, ChannelNotGranted, InvalidInput
from msgctl.domain.ownership import require_owner
from msgctl.intake.accept import AgentDirectory, Submission

CHANNELS_SCOPE = "channels"
"""The value of a token's `scope` that grants all channels; `channels:NAME` grants one."""


class ChannelAccess:
    """Decides about messages that clients submit. Messages from webhooks and operators are not asked.

    Args:
        settings: `auth.channels`, and the settings of the channels.
        agents: finds the owner of an agent.
    """

    def __init__(self, settings: Settings, agents: AgentDirectory) -> None:
        self._settings = settings
        self._agents = agents

    async def require(self, submission: Submission, user_id: str, scopes: Iterable[str]) -> None:
        """Check the channel of a message.

        Args:
            submission: the message as the client sent it.
            user_id: the user of the client's token.
            scopes: the values of the token's `scope`.

        Raises:
            NotFound: the agent does not exist for this user.
            ChannelNotGranted: the user may not use the channel or its sender.
            ChannelNotConfigured: the channel has no credentials.
            InvalidInput: `channelMetadata` has no address; `details` names the field.
            PostgresUnavailable: the owner of the sender cannot be found out now.
        """
        spec = find_channel(submission.channel)
        if not (spec.requires_grant or spec.address_field):
            return
        agent = await self._agents.find(submission.agent_id.lower())
        require_owner("agent", agent, user_id, lambda agent: agent.user_id)
        if not await self._is_granted(spec, submission, user_id, frozenset(scopes)):
            raise ChannelNotGranted(
                f"This user may not send through {spec.name}, or not through this sender. Route the sender to an "
                f"agent of the user, or issue a token with the scope channels:{spec.name}."
            )
        if not spec.is_configured(self._settings):
            raise ChannelNotConfigured(f"The channel {spec.name} is not configured: it has no credentials.")
        _require_address(spec, submission)

    async def _is_granted(
        self, spec: ChannelSpec, submission: Submission, user_id: str, scopes: frozenset[str]
    ) -> bool:
        if not spec.requires_grant or self._settings.auth.channels == "any":
            return True
        if scopes & {CHANNELS_SCOPE, f"{CHANNELS_SCOPE}:{spec.name}"}:
            return True
        agent_id = spec.find_agent(self._settings, submission.channel_metadata)
        agent = await self._agents.find(agent_id.lower()) if agent_id else None
        return agent is not None and agent.user_id == user_id


def _require_address(spec: ChannelSpec, submission: Submission) -> None:
    fields = (spec.address_field, *spec.alternative_address_fields) if spec.address_field else ()
    if not fields or any(submission.channel_metadata.get(field) for field in fields):
        return
    problem = f"The channel {spec.name} needs an address, e.g. {spec.example_address}"
    details = [{"field": f"channelMetadata.{spec.address_field}", "problem": problem}]
    raise InvalidInput("The message is not acceptable.", details=details)
