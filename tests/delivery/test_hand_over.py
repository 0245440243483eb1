"""The commit sends a web response to the socket it names, if that is open and no earlier entry waits."""

import itertools
from typing import Any

import pytest
from redis.exceptions import ResponseError

from msgctl.config.settings import Settings
from msgctl.delivery.delivery_record import DeliveryState, find_record
from msgctl.delivery.external_responses import ExternalResponseImporter
from msgctl.delivery.web.gateway_sockets import SocketRegistry
from msgctl.domain.messages import Message
from msgctl.domain.retry import GiveUp
from msgctl.queue.leases import LeaseClient, LeasedMessage
from msgctl.queue.queue import Queue
from msgctl.storage.redis import keys
from msgctl.storage.redis.client import RedisClient
from tests.support.messages import commit, failure
from tests.support.replies import Replies, response
from tests.support.subscriber import Desk, caught_up, inbox


class Customer:
    """Ana, who writes from socket s1 at gateway g1; a worker answers.

    Args:
        redis: where the queue is.
        settings: of the worker.
    """

    def __init__(self, redis: RedisClient, settings: Settings) -> None:
        self._queue = Queue(redis, settings)
        self._claims = LeaseClient(redis, settings, "w1")
        self._numbers = itertools.count(1)

    async def ask(self, socket: str = "s1") -> LeasedMessage:
        """Write, and lease the message."""
        await self.write(socket)
        [claimed] = await self._claims.claim(1)
        return claimed

    async def write(self, socket: str = "s1") -> None:
        """Write."""
        message = Message(
            message_id=f"m{next(self._numbers)}",
            conversation_id="c1",
            agent_id="a1",
            user_id="ana",
            message="oi",
            channel_metadata={"websocketId": socket},
            timestamp="2026-01-01T00:00:00.000Z",
        )
        await self._queue.enqueue(message, digest=message.digest())

    async def answer(self, claimed: LeasedMessage) -> None:
        """Commit the answer to a message."""
        assert await commit(self._claims, claimed)

    async def write_and_get_answer(self, socket: str = "s1") -> str:
        """Write and get an answer; return the id of the message."""
        claimed = await self.ask(socket)
        await self.answer(claimed)
        return claimed.message.message_id

    async def fail(self, claimed: LeasedMessage) -> None:
        """Make a message a dead letter."""
        assert await self._claims.fail(claimed, GiveUp(), error=b"{}", record=b"{}", failure=failure(claimed))


@pytest.fixture
def customer(redis: RedisClient, settings: Settings) -> Customer:
    """Ana."""
    return Customer(redis, settings)


@pytest.fixture
async def gateway(redis: RedisClient, settings: Settings) -> SocketRegistry:
    """Gateway g1, which runs and holds her socket."""
    sockets = SocketRegistry(redis, settings, "g1")
    await sockets.heartbeat()
    await sockets.register("s1", "ana")
    return sockets


async def test_socket_gets_the_response_before_any_subscriber_reads(
    redis: RedisClient, settings: Settings, customer: Customer, gateway: SocketRegistry, replies: Replies
) -> None:
    """Responses arrive in order and are recorded as SENT; a subscriber that starts later sends none again."""
    ids = [await customer.write_and_get_answer() for _ in range(3)]
    frames = [("s1", "response", number) for number in (1, 2, 3)]
    assert await inbox(redis) == frames
    for message_id in ids:
        record = await find_record(redis, message_id)
        assert record is not None
        assert (record.state, record.provider_id) == (DeliveryState.SENT, "s1")
    async with Desk(settings) as desk:
        await caught_up(desk.stream, replies)
    assert await inbox(redis) == frames
    assert await replies.pending() == 0


async def test_response_for_a_closed_socket_is_left_to_the_subscriber(
    redis: RedisClient, customer: Customer, gateway: SocketRegistry
) -> None:
    """The subscriber finds the user's other sockets, and handles gateways without heartbeat."""
    await customer.write_and_get_answer("gone")
    assert await inbox(redis) == []
    assert await find_record(redis, "m1") is None


async def test_response_for_a_stale_gateway_is_left_to_the_subscriber(
    redis: Any, customer: Customer, gateway: SocketRegistry
) -> None:
    """The gateway may be dead, and the user may have reconnected elsewhere."""
    await redis.hset(keys.GATEWAYS, "g1", 1)
    await customer.write_and_get_answer()
    assert await inbox(redis) == []
    assert await find_record(redis, "m1") is None
    assert await redis.hget(keys.CONVERSATION + "c1", "routed") is None


async def test_socket_of_another_user_gets_nothing(
    redis: RedisClient, customer: Customer, gateway: SocketRegistry
) -> None:
    """Even if a message names it."""
    await gateway.register("evas", "eva")
    await customer.write_and_get_answer("evas")
    assert await inbox(redis) == []


async def test_nothing_overtakes_a_response_that_waits_for_the_subscriber(
    redis: RedisClient, settings: Settings, customer: Customer, gateway: SocketRegistry, replies: Replies
) -> None:
    """The second one is not handed over and follows the first; the third one is handed over again."""
    await gateway.join("s1", "c1")
    await replies.commit(response())
    await customer.write_and_get_answer()
    assert await inbox(redis) == []
    async with Desk(settings) as desk:
        await caught_up(desk.stream, replies)
    await customer.write_and_get_answer()
    assert await inbox(redis) == [("s1", "response", number) for number in (1, 2, 3)]


async def test_nothing_overtakes_the_notice_of_a_dead_letter(
    redis: RedisClient, settings: Settings, customer: Customer, gateway: SocketRegistry, replies: Replies
) -> None:
    """She gets the notice that the first failed before the answer to the second."""
    await gateway.join("s1", "c1")
    await customer.fail(await customer.ask())
    await customer.write_and_get_answer()
    assert await inbox(redis) == []
    async with Desk(settings) as desk:
        await caught_up(desk.stream, replies)
    await customer.write_and_get_answer()
    assert await inbox(redis) == [("s1", "failure", 0), ("s1", "response", 1), ("s1", "response", 2)]


async def test_nothing_overtakes_an_external_response_with_the_id_of_a_message(
    redis: RedisClient, settings: Settings, customer: Customer, gateway: SocketRegistry, replies: Replies
) -> None:
    """A workflow publishes a response, then answers: both are shown, in that order."""
    claimed = await customer.ask()
    reply = response(metadata={"websocketId": "s1"}, message_id=claimed.message.message_id)
    assert await ExternalResponseImporter(redis, settings).import_response("web", reply.to_json().decode())
    await customer.answer(claimed)
    async with Desk(settings) as desk:
        await caught_up(desk.stream, replies)
    assert await inbox(redis) == [("s1", "response", 0), ("s1", "response", 1)]


async def test_conversation_recovers_from_a_notice_that_was_cut(
    redis: Any, settings: Settings, customer: Customer, gateway: SocketRegistry, replies: Replies
) -> None:
    """A later routed entry shows that no earlier one waits any more."""
    await customer.fail(await customer.ask())
    await redis.xtrim(keys.RESPONSES, maxlen=0)
    await customer.write_and_get_answer()
    async with Desk(settings) as desk:
        await caught_up(desk.stream, replies)
    await customer.write_and_get_answer()
    assert await redis.hget(keys.CONVERSATION + "c1", "routed") == "2"


async def test_response_of_a_message_without_user_reaches_no_other_users_socket(
    redis: Any, customer: Customer, gateway: SocketRegistry
) -> None:
    """It is not sent if the field was deleted."""
    claimed = await customer.ask()
    await redis.hdel(keys.job_key("m1"), keys.FIELD_USER)
    await customer.answer(claimed)
    assert await inbox(redis) == []


async def test_stream_of_a_wrong_type_lets_no_response_out(
    redis: Any, customer: Customer, gateway: SocketRegistry
) -> None:
    """A response that cannot be recorded is not shown: each new attempt would show it again."""
    claimed = await customer.ask()
    await redis.set(keys.RESPONSES, "?")
    with pytest.raises(ResponseError):
        await customer.answer(claimed)
    assert await inbox(redis) == []
    await redis.delete(keys.RESPONSES)


async def test_record_of_a_wrong_type_does_not_block_the_conversation(
    redis: Any, customer: Customer, gateway: SocketRegistry
) -> None:
    """The next message is queued although the first one's record has a wrong type."""
    claimed = await customer.ask()
    await customer.write()
    await redis.set(keys.DELIVERY + "m1", "?")
    with pytest.raises(ResponseError):
        await customer.answer(claimed)
    assert await redis.hget(keys.job_key("m2"), "status") == "queued"


@pytest.mark.parametrize("key", [keys.INBOX + "g1", keys.GATEWAYS, keys.SOCKET + "s1"])
async def test_a_key_of_a_wrong_type_does_not_break_the_commit(
    redis: Any, customer: Customer, gateway: SocketRegistry, key: str
) -> None:
    """The whole response is in the stream, and the subscriber reports the problem."""
    await redis.set(key, "?")
    await customer.write_and_get_answer()
    [(_, fields)] = await redis.xrange(keys.RESPONSES)
    assert "reached" not in fields
    assert await redis.zcard(keys.REPLIES + "c1") == 1
    assert await redis.hget(keys.job_key("m1"), "status") == "finished"


async def test_dead_letter_of_an_expired_conversation_leaves_no_permanent_key(
    redis: Any, customer: Customer
) -> None:
    """An expired conversation is not created again without a TTL."""
    claimed = await customer.ask()
    await redis.delete(keys.CONVERSATION + "c1")
    await customer.fail(claimed)
    assert await redis.exists(keys.CONVERSATION + "c1") == 0
