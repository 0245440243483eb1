"""Messages through the gateway, a new connection each, until SIGTERM; then the account of every one of them."""

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


signal.signal(signal.SIGTERM, stop)
answers: Counter[str] = Counter()
slowest, sent = 0.0, []
while not stopping:
    message_id, begun = str(uuid.uuid4()), time.monotonic()
    try:
        status, said = ask(
            "POST",
            "/api/messages",
            {"agentId": agent, "message": "Olá", "messageId": message_id, "conversationId": str(uuid.uuid4())},
        )
        answers[str(status)] += 1
        if status == 202:
            sent.append(message_id)
    except (OSError, http.client.HTTPException) as error:
        answers[type(error).__name__] += 1
    slowest = max(slowest, time.monotonic() - begun)
    time.sleep(PAUSE)
deadline = time.monotonic() + PATIENCE
while time.monotonic() < deadline:
    states = Counter(str(ask("GET", f"/api/messages/{one}/status")[1].get("state")) for one in sent)
    if set(states) == {"completed"}:
        break
    time.sleep(1)
charged = Counter(json.dumps(ask("GET", f"/api/messages/{one}/status")[1].get("attempts")) for one in sent)
sys.stdout.write(
    f"answers {dict(answers)}, slowest {slowest:.2f} s, states {dict(states)}, attempts {dict(charged)}\n"
)
sys.exit(set(answers) != {"202"} or set(states) != {"completed"} or not sent or set(charged) != {"1"})
