"""The n8n stand-in: it answers as n8n does, well and badly, and tells what it was asked."""

import asyncio
import subprocess
import sys
from typing import Any

import aiohttp
import pytest

from msgctl.local.fakes.n8n import FakeN8n, N8nBehavior
from msgctl.local.fakes.n8n_responses import RESPONDERS
from msgctl.local.supervisor import ports


def a_call(message_id: str = "m1", conversation: str = "c1", text: str = "Hello") -> dict[str, Any]:
    """A body as msgctl sends it, as far as the stand-in looks."""
    return {"messageId": message_id, "conversationId": conversation, "message": text, "history": [{}, {}]}


async def post(stand_in: FakeN8n, body: dict[str, Any]) -> tuple[int, str, str]:
    """Call the webhook; return the status, the content type and the body."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{stand_in.url}/webhook/a/path", json=body, allow_redirects=False) as answer,
    ):
        return answer.status, answer.headers.get("Content-Type", ""), await answer.text()


async def test_it_answers_in_the_contracts_shape() -> None:
    """The reply quotes the customer, tells the turns of the history, and has the four fields."""
    async with FakeN8n() as stand_in, aiohttp.ClientSession() as session:
        async with session.post(f"{stand_in.url}/webhook/x", json=a_call(text="Olá")) as answer:
            reply = await answer.json()
        assert set(reply) == {"message", "tokensUsed", "model", "finishReason"}
        assert "Olá" in reply["message"]
        assert "2 turns" in reply["message"]


async def test_it_tells_what_it_was_asked() -> None:
    """Counts, the order within each conversation, headers and bodies can be read from outside."""
    async with FakeN8n() as stand_in, aiohttp.ClientSession() as session:
        for message_id in ("m1", "m2", "m1"):
            await post(stand_in, a_call(message_id))
        async with session.get(f"{stand_in.url}/__control") as answer:
            told = await answer.json()
    assert told["calls"] == 3
    assert told["perMessage"] == {"m1": 2, "m2": 1}
    assert told["order"] == told["answered"] == {"c1": ["m1", "m2", "m1"]}
    assert told["requests"][0]["path"] == "/webhook/a/path"
    assert told["requests"][0]["headers"]["content-type"] == "application/json"


async def test_fail_once_fails_the_same_share_once() -> None:
    """A tenth of the ids fails at its first call, always the same ids, and succeeds at the second."""
    ids = [f"message-{number}" for number in range(300)]
    failed = []
    for _ in range(2):
        async with FakeN8n(behaviour=N8nBehavior(fail_once=0.1)) as stand_in:
            answers = await asyncio.gather(*(post(stand_in, a_call(message_id)) for message_id in ids))
            failed.append(
                [message_id for message_id, answer in zip(ids, answers, strict=True) if answer[0] == 500]
            )
            again = await asyncio.gather(*(post(stand_in, a_call(message_id)) for message_id in failed[-1]))
            assert {status for status, _, _ in again} == {200}
    assert failed[0] == failed[1]
    assert 15 <= len(failed[0]) <= 45


@pytest.mark.parametrize(
    ("mode", "status", "content_type", "part"),
    [
        ("array", 200, "application/json", '[{"message"'),
        ("output", 200, "application/json", '{"output"'),
        ("text", 200, "application/json", '{"text"'),
        ("response", 200, "application/json", '{"response":{"message"'),
        ("started", 200, "application/json", "Workflow was started"),
        ("empty", 200, "application/json", ""),
        ("html", 200, "text/html", "<html>"),
        ("redirect", 302, "", ""),
        ("403", 403, "", "Authorization data is wrong!"),
        ("404", 404, "application/json", "is not registered"),
        ("404-html", 404, "text/html", "<html>"),
        ("500", 500, "application/json", "Error in workflow"),
        ("429", 429, "text/plain", "Slow down"),
    ],
)
async def test_it_fails_as_a_real_one_does(mode: str, status: int, content_type: str, part: str) -> None:
    """Each way to answer has the status, the content type and the body that n8n was seen to send."""
    async with FakeN8n(behaviour=N8nBehavior(mode=mode)) as stand_in:
        answer = await post(stand_in, a_call())
    assert answer[0] == status
    assert answer[1].startswith(content_type)
    assert part in answer[2]


async def test_a_huge_answer_is_beyond_the_limit() -> None:
    """`huge` is more than the 1 MiB that msgctl reads."""
    async with FakeN8n(behaviour=N8nBehavior(mode="huge")) as stand_in:
        assert len((await post(stand_in, a_call()))[2]) > 1024 * 1024


async def test_a_cut_off_answer_breaks_the_connection() -> None:
    """`truncated` is an answer that ends before it should."""
    async with FakeN8n(behaviour=N8nBehavior(mode="truncated")) as stand_in:
        with pytest.raises(aiohttp.ClientPayloadError):
            await post(stand_in, a_call())


@pytest.mark.parametrize("mode", ["hang", "trickle"])
async def test_a_hanging_answer_never_ends_and_stopping_does_not_wait_for_it(mode: str) -> None:
    """The caller runs into its own deadline, and the stand-in still stops at once."""
    async with FakeN8n(behaviour=N8nBehavior(mode=mode)) as stand_in:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(post(stand_in, a_call()), 0.3)
        async with asyncio.timeout(5):
            await stand_in.__aexit__()


async def test_it_can_be_changed_from_outside() -> None:
    """POST /__control sets mode and count, `times` ends by itself, and nonsense is refused by name."""
    async with FakeN8n() as stand_in, aiohttp.ClientSession() as session:
        async with session.post(f"{stand_in.url}/__control", json={"mode": "503", "times": 2}) as answer:
            assert answer.status == 200
        assert [(await post(stand_in, a_call()))[0] for _ in range(3)] == [503, 503, 200]
        for nonsense in ({"mode": "nonsense"}, {"tiems": 1}, {"delay": "long"}):
            async with session.post(f"{stand_in.url}/__control", json=nonsense) as answer:
                assert answer.status == 422
        async with session.post(f"{stand_in.url}/__control", json={"reset": True}) as answer:
            assert (await answer.json())["mode"] == "ok"
        assert stand_in.calls_by_message.total() == 0


def test_every_mode_can_be_named() -> None:
    """Each answer is a valid behaviour, so that no test can name one that does not exist."""
    assert {N8nBehavior(mode=mode).mode for mode in RESPONDERS} == set(RESPONDERS)
    with pytest.raises(ValueError, match="mode must be one of"):
        N8nBehavior(mode="nonsense")


def test_it_runs_as_a_process_of_its_own() -> None:
    """`python -m msgctl.local.fakes.n8n` serves on an inherited socket and leaves on SIGTERM with exit code 0."""
    with ports.open_listener(ports.LOOPBACK, 0) as listener:
        number = listener.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", "msgctl.local.fakes.n8n", "--fd", str(number), "--mode", "text"],
            pass_fds=[number],
        )
        url = f"http://{ports.LOOPBACK}:{listener.getsockname()[1]}"

        async def ask() -> str:
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"{url}/webhook/x", json=a_call()) as answer,
            ):
                return await answer.text()

        assert '"text"' in asyncio.run(ask())
        process.terminate()
        assert process.wait(20) in {0, -15}
