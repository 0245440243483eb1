"""The commit hands a web response to the socket it names, if that is there and nothing stands before it."""

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
        """Write, and have the message claimed."""
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
        """Have a message answered."""
        assert await commit(self._claims, claimed)

    async def hear(self, socket: str = "s1") -> str:
        """Write and be answered; the id of the message."""
        claimed = await self.ask(socket)
        await self.answer(claimed)
        return claimed.message.message_id

    async def despair(self, claimed: LeasedMessage) -> None:
        """Have a message end as a dead letter."""
        assert await self._claims.fail(claimed, GiveUp(), error=b"{}", record=b"{}", failure=failure(claimed))


@pytest.fixture
def customer(redis: RedisClient, settings: Settings) -> Customer:
    """Ana."""
    return Customer(redis, settings)


@pytest.fixture
async def gateway(redis: RedisClient, settings: Settings) -> SocketRegistry:
    """Gateway g1, which lives and holds her socket."""
    sockets = SocketRegistry(redis, settings, "g1")
    await sockets.heartbeat()
    await sockets.register("s1", "ana")
    return sockets


async def test_the_socket_has_it_before_any_subscriber_reads(
    redis: RedisClient, settings: Settings, customer: Customer, gateway: SocketRegistry, replies: Replies
) -> None:
    """In order and recorded as SENT at once; the subscriber that comes then sends none of them again."""
    ids = [await customer.hear() for _ in range(3)]
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


async def test_a_dead_socket_is_left_to_the_subscriber(
    redis: RedisClient, customer: Customer, gateway: SocketRegistry
) -> None:
    """It knows the user's other sockets; and of a gateway that is silent it knows what to do."""
    await customer.hear("gone")
    assert await inbox(redis) == []
    assert await find_record(redis, "m1") is None


async def test_a_silent_gateways_socket_is_left_to_the_subscriber(
    redis: Any, customer: Customer, gateway: SocketRegistry
) -> None:
    """It may be dead, and its user have come back elsewhere."""
    await redis.hset(keys.GATEWAYS, "g1", 1)
    await customer.hear()
    assert await inbox(redis) == []
    assert await find_record(redis, "m1") is None
    assert await redis.hget(keys.CONVERSATION + "c1", "routed") is None


async def test_another_users_socket_gets_nothing(
    redis: RedisClient, customer: Customer, gateway: SocketRegistry
) -> None:
    """Whatever a message names."""
    await gateway.register("evas", "eva")
    await customer.hear("evas")
    assert await inbox(redis) == []


async def test_nothing_overtakes_a_response_that_waits_for_the_subscriber(
    redis: RedisClient, settings: Settings, customer: Customer, gateway: SocketRegistry, replies: Replies
) -> None:
    """The second one is not handed over, and comes after the first; the third is again."""
    await gateway.join("s1", "c1")
    await replies.commit(response())
    await customer.hear()
    assert await inbox(redis) == []
    async with Desk(settings) as desk:
        await caught_up(desk.stream, replies)
    await customer.hear()
    assert await inbox(redis) == [("s1", "response", number) for number in (1, 2, 3)]


async def test_nothing_overtakes_the_news_of_a_dead_letter(
    redis: RedisClient, settings: Settings, customer: Customer, gateway: SocketRegistry, replies: Replies
) -> None:
    """She hears that the first failed before she hears the answer to the second."""
    await gateway.join("s1", "c1")
    await customer.despair(await customer.ask())
    await customer.hear()
    assert await inbox(redis) == []
    async with Desk(settings) as desk:
        await caught_up(desk.stream, replies)
    await customer.hear()
    assert await inbox(redis) == [("s1", "failure", 0), ("s1", "response", 1), ("s1", "response", 2)]


async def test_nothing_overtakes_what_another_program_says_under_the_id_of_a_message(
    redis: RedisClient, settings: Settings, customer: Customer, gateway: SocketRegistry, replies: Replies
) -> None:
    """A workflow publishes a word of its own, then answers: both are shown, in that order."""
    claimed = await customer.ask()
    reply = response(metadata={"websocketId": "s1"}, message_id=claimed.message.message_id)
    assert await ExternalResponseImporter(redis, settings).import_response("web", reply.to_json().decode())
    await customer.answer(claimed)
    async with Desk(settings) as desk:
        await caught_up(desk.stream, replies)
    assert await inbox(redis) == [("s1", "response", 0), ("s1", "response", 1)]


async def test_news_that_was_cut_does_not_slow_a_conversation_for_ever(
    redis: Any, settings: Settings, customer: Customer, gateway: SocketRegistry, replies: Replies
) -> None:
    """What is routed later shows that nothing stands before any more."""
    await customer.despair(await customer.ask())
    await redis.xtrim(keys.RESPONSES, maxlen=0)
    await customer.hear()
    async with Desk(settings) as desk:
        await caught_up(desk.stream, replies)
    await customer.hear()
    assert await redis.hget(keys.CONVERSATION + "c1", "routed") == "2"


async def test_a_response_whose_message_has_lost_its_user_reaches_nobody_elses_socket(
    redis: Any, customer: Customer, gateway: SocketRegistry
) -> None:
    """Whoever took the field away."""
    claimed = await customer.ask()
    await redis.hdel(keys.job_key("m1"), keys.FIELD_USER)
    await customer.answer(claimed)
    assert await inbox(redis) == []


async def test_a_stream_of_a_wrong_type_lets_nothing_out(
    redis: Any, customer: Customer, gateway: SocketRegistry
) -> None:
    """What cannot be written down is not shown: it would be shown again by each new attempt."""
    claimed = await customer.ask()
    await redis.set(keys.RESPONSES, "?")
    with pytest.raises(ResponseError):
        await customer.answer(claimed)
    assert await inbox(redis) == []
    await redis.delete(keys.RESPONSES)


async def test_a_record_of_a_wrong_type_does_not_hold_up_the_conversation(
    redis: Any, customer: Customer, gateway: SocketRegistry
) -> None:
    """The next message is in play, whatever stands where the first one's delivery is written down."""
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
    """The response is in the stream, as a whole, for the subscriber to complain of."""
    await redis.set(key, "?")
    await customer.hear()
    [(_, fields)] = await redis.xrange(keys.RESPONSES)
    assert "reached" not in fields
    assert await redis.zcard(keys.REPLIES + "c1") == 1
    assert await redis.hget(keys.job_key("m1"), "status") == "finished"


async def test_a_dead_letter_of_a_forgotten_conversation_leaves_no_key_for_ever(
    redis: Any, customer: Customer
) -> None:
    """What expired with the conversation does not come back without its end."""
    claimed = await customer.ask()
    await redis.delete(keys.CONVERSATION + "c1")
    await customer.despair(claimed)
    assert await redis.exists(keys.CONVERSATION + "c1") == 0
