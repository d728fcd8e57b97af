"""What Omnisend answers, per status.

Two kinds of error body. RFC 9457 problems under problems.omnisend.com: those of the API gateway, given before
Omnisend's own code sees the request (401 and 429 are documented or were measured; 402, 403 and 410 are formed after
them), and in version 2026-03-15 all others too, which then name the request in `instance`. And those of version 3
to 5, `{"error": …, "fields": {…}}`.
"""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiohttp import web

from sandbox.omnisend.model import Finding

_JSON: Final = "application/json"
_PROBLEM: Final = "application/problem+json"

_GATEWAY: Final = {
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

NO_CONTENT: Final = Answer(204)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"  # 524 is Cloudflare's own


def ok(content: Any, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(content))


def documented(
    status: int,
    headers: tuple[tuple[str, str], ...] = (),
    *,
    problem: bool = False,
    detail: str | None = None,
    **more: Any,
) -> Answer:
    """The documented body of an error status; `more` is added to it.

    Args:
        status: 4xx or 5xx; below it there is no body.
        headers: added to the answer's own.
        problem: whether the version answers with a problem where the gateway does not do it anyway.
        detail: what happened, where the status alone does not say it.
        **more: fields of the body.
    """
    if status < 400:
        return Answer(status, headers=headers)
    if problem or status in _GATEWAY:
        return _problem(status, headers, detail, own=problem, more=more)
    error = {"error": detail or _ERRORS.get(status, _phrase(status)), **more}
    return Answer(status, msgspec.json.encode(error), _JSON, headers)


def _problem(
    status: int,
    headers: tuple[tuple[str, str], ...],
    detail: str | None,
    *,
    own: bool,
    more: dict[str, Any],
) -> Answer:
    title = _ERRORS.get(status, _phrase(status))
    slug, title = _GATEWAY.get(status, (title.lower().replace(" ", "-"), title))
    problem: dict[str, Any] = {
        "type": f"https://problems.omnisend.com/{slug}",
        "title": title,
        "status": status,
    }
    if detail is not None:
        problem["detail"] = detail
    if own and status not in {401, 403}:
        # Those two come from the gateway, which was measured to answer 401 with nothing but the three above.
        problem["instance"] = f"urn:omnisend:request:{uuid.uuid4()}"
    return Answer(status, msgspec.json.encode(problem | more), _PROBLEM, headers)


def invalid(findings: tuple[Finding, ...], problem: bool) -> Answer:
    """400 with everything that is wrong, all at once."""
    wrong = [found for found in findings if found.severity == "rejected"]
    if problem:
        errors = [{"field": one.path, "code": one.code, "message": one.message} for one in wrong]
        return documented(400, problem=True, detail="The request is not valid", errors=errors)
    return documented(400, fields={one.path: one.message for one in wrong})
