"""Messages through the gateway, a new connection each, until SIGTERM; then the account of every one of them.

It leaves with 0 if each was answered 202 and completed, and none was charged an attempt more than the first one,
which was alone with a pipeline that nobody hurt.
"""

import http.client
import json
import signal
import sys
import time
import uuid
from collections import Counter

agent, token = sys.argv[1:]
HEADERS = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
PAUSE, PATIENCE = 0.05, 60.0
stopping = False


def stop(*_: object) -> None:
    """Send no more."""
    global stopping  # noqa: PLW0603 - a signal handler has nowhere else to leave word
    stopping = True


def ask(method: str, path: str, body: object = None) -> tuple[int, dict[str, object]]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", 3000, timeout=60)
    try:
        connection.request(method, path, json.dumps(body) if body else None, HEADERS)
        response = connection.getresponse()
        said = json.loads(response.read() or b"{}")
        return response.status, said.get("data", said)
    finally:
        connection.close()


def send() -> tuple[str, str]:
    """What a new message was answered with, and its id."""
    message_id = str(uuid.uuid4())
    body = {"agentId": agent, "message": "Olá", "messageId": message_id, "conversationId": str(uuid.uuid4())}
    try:
        return str(ask("POST", "/api/messages", body)[0]), message_id
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__, message_id


def account(ids: list[str]) -> list[tuple[str, str]]:
    """State and attempts of these messages, once all are completed or patience is at its end."""
    deadline = time.monotonic() + PATIENCE
    while True:
        said = [ask("GET", f"/api/messages/{one}/status")[1] for one in ids]
        found = [(str(one.get("state")), json.dumps(one.get("attempts"))) for one in said]
        if all(state == "completed" for state, _ in found) or time.monotonic() > deadline:
            return found
        time.sleep(1)


_, first = send()
calm = account([first])[0]
signal.signal(signal.SIGTERM, stop)
sys.stdout.write("sending\n")
sys.stdout.flush()
answers: Counter[str] = Counter()
slowest, sent = 0.0, []
while not stopping:
    begun = time.monotonic()
    answer, one = send()
    answers[answer] += 1
    if answer == "202":
        sent.append(one)
    slowest = max(slowest, time.monotonic() - begun)
    time.sleep(PAUSE)
ends = Counter(account(sent))
told = ", ".join(f"{count} {state} with {attempts} attempts" for (state, attempts), count in ends.items())
sys.stdout.write(f"answers {dict(answers)}, slowest {slowest:.2f} s; {told}\n")
sys.exit(set(answers) != {"202"} or set(ends) != {("completed", calm[1])})
