"""The OpenAPI 3.1 document of the API, built from the structs of its bodies."""

from http import HTTPStatus
from typing import Any

import msgspec

import msgctl
from daemons.gateway.http.schemas import Accepted, Liveness, MessageStatus, Refusal, Success, Ticket
from msgctl.channels.names import channel_names
from msgctl.domain.messages import IDENTIFIER_PATTERN, Channel
from msgctl.intake.accept import Submission
from msgctl.operations.checks.health import Health
from msgctl.queue.queue import Stats

Schema = dict[str, Any]

STRUCTS: tuple[Any, ...] = (
    Submission,
    Accepted,
    Success[MessageStatus],
    Success[Stats],
    Success[Health],
    Success[Ticket],
    Success[Liveness],
    Refusal,
)
COMPONENT_PREFIX = "#/components/schemas/"
COMMON_REFUSALS = (400, 408, 431, 500, 503)
"""Errors that each request can get: invalid, slow, or too large HTTP, an internal error, an overload."""
RETRY_AFTER_HEADER = {
    "Retry-After": {"description": "Seconds until it is worth coming back.", "schema": {"type": "integer"}}
}
CHALLENGE_HEADER = {"WWW-Authenticate": {"description": "The scheme, Bearer.", "schema": {"type": "string"}}}
STATUS_LINK = {"status": {"operationId": "readStatus", "parameters": {"id": "$response.body#/data/messageId"}}}
REFUSAL_HEADERS = {401: CHALLENGE_HEADER, 429: RETRY_AFTER_HEADER, 503: RETRY_AFTER_HEADER}


def build_document() -> Schema:
    """Build the whole document."""
    schemas, components = msgspec.json.schema_components(STRUCTS, ref_template=COMPONENT_PREFIX + "{name}")
    components[Channel.__name__]["enum"] = sorted(channel_names())
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "msgctl gateway",
            "version": msgctl.__version__,
            "summary": "Chat messages for AI agents: accepted at once, answered on the channel they came by.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": _paths(dict(zip(STRUCTS, schemas, strict=True))),
        "components": {
            "schemas": {name: _complete_schema(name, schema) for name, schema in components.items()},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _paths(struct: dict[Any, Schema]) -> Schema:
    message_id = _parameter(
        "path", "id", {"type": "string", "pattern": _to_ecma_pattern(IDENTIFIER_PATTERN)}, required=True
    )
    key = _parameter("header", "Idempotency-Key", {"type": "string", "pattern": "^[!-~]{1,255}$"})
    socket = [_parameter("query", name, {"type": "string"}) for name in ("token", "ticket", "progress")]
    health, refusal = struct[Success[Health]], struct[Refusal]

    def operation(name: str, summary: str, good: Schema, refused: tuple[int, ...] = (), **more: Any) -> Schema:
        refusals = {str(status): _response(status, refusal) for status in sorted({*refused, *COMMON_REFUSALS})}
        secured: Schema = {"security": [{"bearer": []}]} if 401 in refused else {}
        return {"operationId": name, "summary": summary, "responses": {**refusals, **good}, **secured, **more}

    def page(media: str) -> Schema:
        return {"200": {"description": "OK", "content": {media: {}}}}

    return {
        "/api/messages": {
            "post": operation(
                "sendMessage",
                "Accept a message",
                {"202": {**_response(202, struct[Accepted]), "links": STATUS_LINK}},
                (401, 403, 404, 409, 413, 415, 422, 429),
                parameters=[key],
                requestBody={"required": True, "content": {"application/json": {"schema": struct[Submission]}}},
            )
        },
        "/api/messages/{id}/status": {
            "get": operation(
                "readStatus",
                "Where a message is",
                {"200": _response(200, struct[Success[MessageStatus]])},
                (401, 404, 429),
                parameters=[message_id],
            )
        },
        "/api/messages/queue/stats": {
            "get": operation(
                "readStats",
                "How many messages are in which state",
                {"200": _response(200, struct[Success[Stats]])},
                (401, 429),
            )
        },
        "/api/messages/queue/health": {
            "get": operation(
                "readHealth",
                "Whether the pipeline works, and if not, why",
                {"200": _response(200, health), "503": _response(503, {"anyOf": [health, refusal]})},
                (401, 429),
            )
        },
        "/api/ws-ticket": {
            "post": operation(
                "takeTicket",
                "A one-time login for the WebSocket",
                {"201": _response(201, struct[Success[Ticket]])},
                (401, 429),
            )
        },
        "/ws/chat": {
            "get": operation(
                "openSocket",
                "The WebSocket",
                {"101": {"description": "Switching Protocols"}},
                (426,),
                parameters=socket,
            )
        },
        "/healthz": {
            "get": operation("healthz", "The process lives", {"200": _response(200, struct[Success[Liveness]])})
        },
        "/readyz": {
            "get": operation("readyz", "The process can serve", {"200": _response(200, struct[Success[Liveness]])})
        },
        "/openapi.json": {"get": operation("openapi", "This document", page("application/json"))},
        "/docs": {"get": operation("docs", "This document as a page", page("text/html"))},
    }


def _parameter(place: str, name: str, schema: Schema, *, required: bool = False) -> Schema:
    return {"in": place, "name": name, "required": required, "schema": schema}


def _response(status: int, schema: Schema) -> Schema:
    headers = REFUSAL_HEADERS.get(status)
    content = {"application/json": {"schema": schema}}
    return {
        "description": HTTPStatus(status).phrase,
        "content": content,
        **({"headers": headers} if headers else {}),
    }


def _complete_schema(name: str, schema: Schema) -> Schema:
    """Add what msgspec cannot express: JavaScript patterns, and that responses always contain their defaults."""
    properties = {field: _convert_patterns(value) for field, value in schema.get("properties", {}).items()}
    if not properties:
        return schema
    if name == Submission.__name__:
        return {**schema, "properties": properties}
    required = [field for field in properties if field in schema["required"] or "default" in properties[field]]
    return {**schema, "properties": properties, "required": required}


def _convert_patterns(schema: Schema) -> Schema:
    if "anyOf" in schema:
        return {**schema, "anyOf": [_convert_patterns(choice) for choice in schema["anyOf"]]}
    return {**schema, "pattern": _to_ecma_pattern(schema["pattern"])} if "pattern" in schema else schema


def _to_ecma_pattern(pattern: str) -> str:
    r"""Replace `\Z` of Python with `$` of JavaScript."""
    return pattern.replace(r"\Z", "$")
