"""The protocol of a socket without a socket: what is answered, in which order, and what is shown once."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from daemons.gateway.translations import select_texts
from daemons.gateway.ws.frames import Resumption
from daemons.gateway.ws.session import DEDUP_CAPACITY, ChatSession
from msgctl.config.settings import Settings
from msgctl.domain.errors import NotFound, RedisUnavailable
from msgctl.domain.messages import Channel, Failure, Reply, Response
from msgctl.intake.accept import AcceptReceipt, Submission

AGENT = "00000000-0000-4000-8000-000000000000"
RESUME = '{"type":"resume","data":{"conversationId":"c","afterSeq":%d}}'
MESSAGE = json.dumps({"type": "message", "data": {"agentId": AGENT, "content": "oi", "messageId": "m"}})


@pytest.fixture
def session() -> ChatSession:
    """A session in Portuguese."""
    return ChatSession("ws-1", select_texts(Settings()))


def response(seq: int | None, *, conversation: str = "c", message_id: str = "") -> Response:
    """A reply of a conversation."""
    return Response(
        message_id=message_id or f"m{seq}",
        conversation_id=conversation,
        agent_id=AGENT,
        response=Reply(message=f"reply {seq}"),
        channel=Channel.WEB,
        timestamp="2026-02-02T10:00:05.000Z",
        seq=seq,
    )


def failure(timestamp: str = "t1") -> Failure:
    """A message that could not be answered."""
    return Failure(
        message_id="m",
        conversation_id="c",
        user_id="ana",
        channel=Channel.WEB,
        code="n8n_timeout",
        timestamp=timestamp,
    )


def shown(frames: Sequence[str]) -> list[Any]:
    """Frames in short: the number of a reply, else the type."""
    decoded = [json.loads(frame) for frame in frames]
    return [frame["data"].get("seq") if frame["type"] == "message" else frame["type"] for frame in decoded]


def resume(session: ChatSession, after_seq: int, missed: Sequence[int]) -> list[Any]:
    """Ask and answer a resumption; what is shown for it."""
    question = session.receive(RESUME % after_seq)
    assert isinstance(question, Resumption)
    frames = session.resumed(question, [response(seq) for seq in missed], recovered=True)
    return shown([*frames, *session.release_held()])


def bad_frames() -> dict[str, tuple[str, str]]:
    """Frames that are refused: the code and the words that name what is wrong."""

    def message(**data: Any) -> str:
        return json.dumps({"type": "message", "data": {"agentId": AGENT, "content": "oi", **data}})

    return {
        "": ("bad_json", ""),
        "hello": ("bad_json", ""),
        "{": ("bad_json", ""),
        '{"type":"ping"}}': ("bad_json", ""),
        '{"type":"ping","data":{"a":' + "[" * 5000 + "]" * 5000 + "}}": ("bad_json", ""),
        '{"type":"message","data":{"content":"\\udc00"}}': ("bad_json", ""),
        "null": ("validation_error", "object"),
        "[]": ("validation_error", "object"),
        '"ping"': ("validation_error", "object"),
        "7": ("validation_error", "object"),
        "{}": ("validation_error", "type"),
        '{"data":{}}': ("validation_error", "type"),
        '{"type":7}': ("validation_error", "type"),
        '{"type":"shout","data":{}}': ("validation_error", "type"),
        '{"type":"connected","data":{"socketId":"x"}}': ("validation_error", "type"),
        '{"type":"message"}': ("validation_error", "data"),
        '{"type":"message","data":null}': ("validation_error", "data"),
        '{"type":"message","data":[]}': ("validation_error", "data"),
        '{"type":"message","data":{}}': ("validation_error", "data.agentId"),
        '{"type":"message","data":{"agentId":"x","content":"oi"}}': ("validation_error", "data.agentId"),
        message(content=""): ("validation_error", "data.content"),
        message(content="a" * 8001): ("validation_error", "data.content"),
        message(content=7): ("validation_error", "data.content"),
        message(message="oi"): ("validation_error", "data.message"),
        message(channel="api"): ("validation_error", "data.channel"),
        message(priority="5"): ("validation_error", "data.priority"),
        message(priority=True): ("validation_error", "data.priority"),
        message(priority=0): ("validation_error", "data.priority"),
        message(conversationId="a b"): ("validation_error", "data.conversationId"),
        message(messageId=""): ("validation_error", "data.messageId"),
        message()[:-1] + ',"extra":1}': ("validation_error", "extra"),
        '{"type":"resume","data":{"conversationId":"c"}}': ("validation_error", "data.afterSeq"),
        '{"type":"resume","data":{"afterSeq":0}}': ("validation_error", "data.conversationId"),
        '{"type":"resume","data":{"conversationId":"c","afterSeq":-1}}': ("validation_error", "data.afterSeq"),
        '{"type":"resume","data":{"conversationId":"c","afterSeq":"0"}}': ("validation_error", "data.afterSeq"),
        '{"type":"resume","data":{"conversationId":"c","afterSeq":1e300}}': ("validation_error", "data.afterSeq"),
        '{"type":"ping","data":7}': ("validation_error", "data"),
    }


@pytest.mark.parametrize("text", bad_frames(), ids=map(str, range(len(bad_frames()))))
def test_invalid_frame_is_answered_with_its_field(text: str, session: ChatSession) -> None:
    """Each malformed frame is answered by one `error` that names what is wrong; nothing is held back for it."""
    code, words = bad_frames()[text]
    answer = session.receive(text)
    assert isinstance(answer, str)
    frame = json.loads(answer)
    assert frame["type"] == "error"
    assert frame["data"].keys() == {"code", "message"}
    assert frame["data"]["code"] == code
    assert words in frame["data"]["message"]
    assert shown(session.deliver(response(1))) == [1]


def test_error_names_its_message(session: ChatSession) -> None:
    """A refused `message` frame whose id can be read is answered with that id."""
    answer = session.receive('{"type":"message","data":{"messageId":"m-7","content":""}}')
    assert isinstance(answer, str)
    assert json.loads(answer)["data"]["messageId"] == "m-7"


def test_first_frame_contains_the_socket_id(session: ChatSession) -> None:
    """`connected`, as the API promises it."""
    assert json.loads(session.connected()) == {"type": "connected", "data": {"socketId": "ws-1"}}


@pytest.mark.parametrize(
    "text", ['{"type":"ping"}', '{"type":"ping","data":{}}', '{"type":"ping","data":{"n":1}}']
)
def test_ping_is_answered_by_pong(text: str, session: ChatSession) -> None:
    """With data or without."""
    assert session.receive(text) == '{"type":"pong","data":{}}'


def test_message_becomes_a_submission(session: ChatSession) -> None:
    """What the client says reaches the pipeline as it was said, on channel web."""
    said = {"agentId": AGENT, "content": "oi", "conversationId": "c", "priority": 2, "messageId": "m"}
    assert session.receive(json.dumps({"type": "message", "data": said})) == Submission(
        agent_id=AGENT, message="oi", conversation_id="c", priority=2, message_id="m", channel=Channel.WEB
    )


def test_queued_and_processing_come_before_any_reply(session: ChatSession) -> None:
    """However quick the reply: first `queued`, then `processing` as the API promises, then what came meanwhile."""
    assert isinstance(session.receive(MESSAGE), Submission)
    assert session.deliver(response(1, message_id="m")) == []
    assert session.progress("m", 10) == []
    assert session.held_count == 2
    queued, processing = map(json.loads, session.accepted(AcceptReceipt("m", "c", repeated=False)))
    assert queued == {"type": "queued", "data": {"message": "Mensagem recebida, processando..."}}
    assert processing == {
        "type": "processing",
        "data": {"conversationId": "c", "messageId": "m", "jobId": "m", "status": "processing"},
    }
    assert shown(session.release_held()) == [1, "progress"]
    assert shown(session.deliver(response(2))) == [2]


def test_refusal_releases_held_frames(session: ChatSession) -> None:
    """After a refused message what waited is shown, and the error tells neither host nor secret."""
    question = session.receive(MESSAGE)
    assert isinstance(question, Submission)
    session.deliver(response(1))
    (frame,) = session.refuse(RedisUnavailable("Redis at redis://db.internal:6379 does not answer."), question)
    assert json.loads(frame) == {
        "type": "error",
        "data": {
            "code": "redis_unavailable",
            "message": "A fila está indisponível no momento. Tente de novo em instantes.",
            "messageId": "m",
        },
    }
    assert shown(session.release_held()) == [1]


def test_reply_frame_matches_the_seed(session: ChatSession) -> None:
    """The `message` frame has the API's fields, and `seq`."""
    (frame,) = session.deliver(response(4))
    assert json.loads(frame) == {
        "type": "message",
        "data": {
            "messageId": "m4",
            "conversationId": "c",
            "message": "reply 4",
            "timestamp": "2026-02-02T10:00:05.000Z",
            "metadata": {"model": None, "tokensUsed": None, "processingTime": None, "finishReason": None},
            "seq": 4,
        },
    }


def test_live_reply_is_sent_once(session: ChatSession) -> None:
    """A redelivered reply is dropped; one of another conversation with the same number is not."""
    assert shown(session.deliver(response(1))) == [1]
    assert session.deliver(response(1)) == []
    assert shown(session.deliver(response(1, conversation="d"))) == [1]


def test_reply_without_a_number_is_identified_by_its_message(session: ChatSession) -> None:
    """What another program published has no `seq`, is shown without one, and once."""
    (frame,) = session.deliver(response(None, message_id="foreign"))
    assert "seq" not in json.loads(frame)["data"]
    assert session.deliver(response(None, message_id="foreign")) == []


def test_resume_sends_missed_replies_before_live_ones(session: ChatSession) -> None:
    """Live replies wait for `resumed`; what both bring is shown once, in order."""
    question = session.receive(RESUME % 2)
    assert isinstance(question, Resumption)
    assert session.deliver(response(5)) == []
    assert session.deliver(response(6)) == []
    frames = session.resumed(question, [response(seq) for seq in (3, 4, 5)], recovered=False)
    assert shown(frames) == [3, 4, 5, "resumed"]
    assert json.loads(frames[-1])["data"] == {"conversationId": "c", "recovered": False}
    assert shown(session.release_held()) == [6]


def test_resume_sends_only_replies_not_sent_yet(session: ChatSession) -> None:
    """A gap is filled without what came live around it; asking twice brings nothing twice."""
    session.deliver(response(3))
    assert resume(session, 0, [1, 2, 3]) == [1, 2, "resumed"]
    assert resume(session, 0, [1, 2, 3]) == ["resumed"]


def test_replies_that_the_client_has_are_not_sent_again(session: ChatSession) -> None:
    """A late redelivery of a reply up to `afterSeq`, which came by an earlier socket, is dropped."""
    assert resume(session, 4, []) == ["resumed"]
    assert session.deliver(response(4)) == []
    assert shown(session.deliver(response(5))) == [5]


def test_restarted_conversation_is_sent_despite_after_seq(session: ChatSession) -> None:
    """It left at 7, and what there is begins at 1: the numbers are another life's, live ones too."""
    assert shown(session.deliver(response(7))) == [7]
    assert resume(session, 7, [1, 2]) == [1, 2, "resumed"]
    session.release_held()
    assert [shown(session.deliver(response(seq))) for seq in (2, 3, 7)] == [[], [3], [7]]


def test_conversation_of_another_user_is_refused(session: ChatSession) -> None:
    """`not_found`, without a message id, since none was named."""
    question = session.receive(RESUME % 0)
    assert isinstance(question, Resumption)
    (frame,) = session.refuse(NotFound("There is no such conversation."), question)
    assert json.loads(frame)["data"] == {"code": "not_found", "message": "Não encontrado."}


def test_failed_message_is_notified_once(session: ChatSession) -> None:
    """A dead letter is an `error` with the message's id; told again only if it failed again."""
    (frame,) = session.deliver_failure(failure())
    assert json.loads(frame) == {
        "type": "error",
        "data": {
            "code": "n8n_timeout",
            "message": "Não foi possível responder a esta mensagem.",
            "messageId": "m",
        },
    }
    assert session.deliver_failure(failure()) == []
    assert shown(session.deliver_failure(failure("t2"))) == ["error"]


def test_replies_in_order_are_stored_as_a_range(session: ChatSession) -> None:
    """However long a conversation lasts, its socket needs no more room for it, and shows nothing twice."""
    for seq in range(7, 3 * DEDUP_CAPACITY):
        assert shown(session.deliver(response(seq))) == [seq]
    assert len(session._deduplicator) == 1
    assert session.deliver(response(7)) == session.deliver(response(3 * DEDUP_CAPACITY - 1)) == []
    assert resume(session, 4, [5, 6, 7, 8]) == [5, 6, "resumed"]
    assert session.deliver(response(5)) == []


def test_memory_is_limited(session: ChatSession) -> None:
    """Of what has no order, and of conversations, a socket remembers the latest only."""
    for number in range(3 * DEDUP_CAPACITY):
        session.deliver(response(None, message_id=f"m{number}"))
        session.deliver(response(1, conversation=f"c{number}"))
    assert len(session._deduplicator) == 2 * DEDUP_CAPACITY
    assert session.deliver(response(None, message_id=f"m{3 * DEDUP_CAPACITY - 1}")) == []
    assert session.deliver(response(1, conversation=f"c{3 * DEDUP_CAPACITY - 1}")) == []
