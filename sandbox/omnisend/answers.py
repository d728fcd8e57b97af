"""What Omnisend answers, per status, in the words of version 5.

Two kinds of error body: those of the API gateway, RFC 9457 problems under problems.omnisend.com, given before
Omnisend's own code sees the request (401 and 429 are documented or were measured; 402, 403 and 410 are formed after
them), and those of version 3 to 5 themselves, `{"error": …, "fields": {…}}`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"

_PROBLEMS: Final = {
    401: ("unauthorized", "Unauthorized"),
    402: ("payment-required", "Payment Required"),
    403: ("forbidden", "Forbidden"),
    410: ("gone", "API version has been retired"),
    429: ("rate-limit-exceeded", "Rate limit exceeded"),
}
_ERRORS: Final = {
    400: "Bad request",
    404: "Not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Conflict",
    413: "Request body is too large",
    415: "Content-Type must be application/json",
    422: "Unprocessable entity",
    500: "Internal server error",
    503: "Service unavailable",
}


class Answer(msgspec.Struct, frozen=True):
    """Status, body and headers of one answer."""

    status: int
    body: bytes = b""
    content_type: str = _JSON
    headers: tuple[tuple[str, str], ...] = ()

    def with_body(self, body: Any) -> Answer:
        """The same with another body: JSON, or a string as it stands; UNSET changes nothing."""
        if body is msgspec.UNSET:
            return self
        raw = body.encode() if isinstance(body, str) else msgspec.json.encode(body)
        return msgspec.structs.replace(self, body=raw)

    def response(self) -> web.Response:
        """As aiohttp sends it."""
        if not self.body and not self.headers:
            return web.Response(status=self.status)
        return web.Response(
            status=self.status,
            body=self.body,
            headers=list(self.headers),
            content_type=self.content_type if self.body else None,
        )

    def on_the_wire(self) -> bytes:
        """As bytes, for faults that send only some of them."""
        lines = [f"HTTP/1.1 {self.status} {_phrase(self.status)}", f"Content-Length: {len(self.body)}"]
        if self.body:
            lines.append(f"Content-Type: {self.content_type}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


ACCEPTED: Final = Answer(202)
"""An event was queued: no body (DOCS, and wp-omnisend's `test_send_customer_event_accepts_bodyless_202`)."""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"  # 524 is Cloudflare's own


def ok(content: Any, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(content))


def documented(status: int, headers: tuple[tuple[str, str], ...] = (), **more: Any) -> Answer:
    """The documented body of an error status; `more` is added to it."""
    if status in _PROBLEMS:
        slug, title = _PROBLEMS[status]
        problem = {"type": f"https://problems.omnisend.com/{slug}", "title": title, "status": status, **more}
        return Answer(status, msgspec.json.encode(problem), _PROBLEM, headers)
    if status < 400:
        return Answer(status, headers=headers)
    error = {"error": _ERRORS.get(status, _phrase(status)), **more}
    return Answer(status, msgspec.json.encode(error), _JSON, headers)


def invalid(fields: dict[str, str]) -> Answer:
    """400 with every field that is wrong."""
    return documented(400, fields=fields)
