"""Deletion, which products and categories have alike."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from sandbox.omnisend.answers import NO_CONTENT, Answer
from sandbox.omnisend.routing import Call


def delete_from(call: Call, entries: MutableMapping[str, Any]) -> Answer:
    """204. For an unknown id version 2026-03-15 declares no 404, and version 5 has it everywhere."""
    known = entries.pop(call.parameters["id"], None)
    if known is None and call.dialect.delete_unknown_status != 204:
        return call.refuse(call.dialect.delete_unknown_status)
    return NO_CONTENT
