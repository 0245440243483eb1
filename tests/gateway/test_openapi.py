"""The API's own document and the page that shows it."""

import json
import re
from typing import Any

import pytest

from daemons.gateway.http.docs_routes import ASSETS_DIR
from daemons.gateway.http.openapi import COMPONENT_PREFIX, build_document
from msgctl.agents.agents import Agent
from tests.support.gateway_clients import Client


def references(node: Any) -> set[str]:
    """Every `$ref` below a node."""
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


def test_references_and_schemas_match() -> None:
    """No dangling `$ref`, nothing left over."""
    document = build_document()
    schemas = document["components"]["schemas"]
    assert {reference.removeprefix(COMPONENT_PREFIX) for reference in references(document)} == schemas.keys()


def test_patterns_are_valid_javascript() -> None:
    r"""Python's `\Z` does not exist in the regular expressions of JSON Schema."""
    text = json.dumps(build_document())
    assert '"pattern"' in text
    assert r"\\Z" not in text


def test_responses_declare_required_fields() -> None:
    """`success` is in every answer, so the document requires it; `details` and `error` are not."""
    schemas = build_document()["components"]["schemas"]
    assert "success" in schemas["Refusal"]["required"]
    assert "details" not in schemas["Problem"]["required"]
    assert set(schemas["AcceptedMessage"]["required"]) == schemas["AcceptedMessage"]["properties"].keys()
    assert schemas["Submission"]["required"] == ["agentId", "message"]
    assert schemas["Submission"]["additionalProperties"] is False


async def test_document_covers_all_routes_and_errors(client: Client, agent: Agent) -> None:
    """What the gateway answers, the document has: route, method, status and media type."""
    document = (await client.get("/openapi.json")).json
    assert document["openapi"] == "3.1.0"
    good = {"agentId": agent.id, "message": "oi", "messageId": "m"}
    json_type = {"Content-Type": "application/json"}
    seen = [
        ("post", "/api/messages", await client.post(good)),
        ("post", "/api/messages", await client.post(b"{")),
        ("post", "/api/messages", await client.post({})),
        ("post", "/api/messages", await client.post({**good, "message": "tchau"})),
        ("post", "/api/messages", await client.post({**good, "agentId": "0" * 8 + agent.id[8:]})),
        ("post", "/api/messages", await client.post(b"x" * 70_000)),
        ("post", "/api/messages", await client.post(good, {"Content-Type": "text/plain"})),
        ("post", "/api/messages", await client.post(good, {**json_type, "Authorization": ""})),
        ("get", "/api/messages/{id}/status", await client.get("/api/messages/m/status")),
        ("get", "/api/messages/{id}/status", await client.get("/api/messages/x/status")),
        ("get", "/api/messages/queue/stats", await client.get("/api/messages/queue/stats")),
        ("get", "/api/messages/queue/health", await client.get("/api/messages/queue/health")),
        ("post", "/api/ws-ticket", await client.request("POST", "/api/ws-ticket")),
        ("get", "/ws/chat", await client.get("/ws/chat")),
        ("get", "/healthz", await client.get("/healthz")),
        ("get", "/readyz", await client.get("/readyz")),
        ("get", "/openapi.json", await client.get("/openapi.json")),
        ("get", "/docs", await client.get("/docs")),
    ]
    assert {path for _, path, _ in seen} == document["paths"].keys()
    for method, path, answer in seen:
        described = document["paths"][path][method]["responses"][str(answer.status)]
        assert answer.headers["content-type"].split(";")[0] in described["content"], (path, answer.status)
        assert {name.lower() for name in described.get("headers", {})} <= {name.lower() for name in answer.headers}


@pytest.mark.parametrize(
    ("path", "media"),
    [("/docs", "text/html"), ("/docs/docs.js", "text/javascript"), ("/docs/docs.css", "text/css")],
)
async def test_page_is_served_completely(path: str, media: str, client: Client) -> None:
    """Page, script and style come from the gateway, under a policy that lets nothing else in."""
    answer = await client.request("GET", path, headers={"Authorization": ""})
    assert answer.status == 200
    assert answer.headers["content-type"] == f"{media}; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_page_needs_no_external_asset() -> None:
    """No file of the page names another host, and none holds an inline script or style, which its policy bars."""
    for file in ASSETS_DIR.iterdir():
        text = file.read_text("utf-8")
        assert not re.search(r"https?:|//\w", text), file
        assert "<style" not in text
        assert "style=" not in text
        assert not re.search(r"<script(?![^>]* src=)", text)
