"""Pages of lists: by cursor, as contacts have them, or by offset, as everything else has."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlencode

from sandbox.omnisend.findings import Findings

T = TypeVar("T")
Key = tuple[str, str]
"""What a list is sorted by: an instant in RFC 3339, and an id that decides between equal ones."""

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 250


def whole(
    query: Mapping[str, str],
    name: str,
    out: Findings,
    *,
    default: int,
    lowest: int,
    highest: int | None = None,
) -> int:
    """A whole number among the parameters, or its default; rejected where it is none or out of range."""
    raw = query.get(name)
    if raw is None:
        return default
    value = int(raw) if raw.isascii() and raw.isdigit() else lowest - 1
    if value < lowest or (highest is not None and value > highest):
        bounds = f"{lowest} to {highest}" if highest is not None else f"{lowest} or more"
        out.rejected("query_invalid", "", name, f"must be a whole number, {bounds}")
        return default
    return value


def one_of(query: Mapping[str, str], name: str, words: Sequence[str], out: Findings) -> str | None:
    """One of these words among the parameters; rejected where it is another."""
    value = query.get(name)
    if value is not None and value not in words:
        out.rejected("query_invalid", "", name, f"must be one of {', '.join(words)}")
        return None
    return value


def cursor(query: Mapping[str, str], name: str, out: Findings) -> Key | None:
    """The place in a list that a cursor stands for."""
    raw = query.get(name)
    if raw is None:
        return None
    try:
        place = base64.urlsafe_b64decode(raw).decode()
    except ValueError:  # binascii's and the decoder's own errors are among them
        place = ""
    at, found, last_id = place.partition("|")
    if not found:
        out.rejected("query_invalid", "", name, "is no cursor of this list")
        return None
    return at, last_id


@dataclass(frozen=True)
class CursorPage(Generic[T]):
    """A page, and the cursors of the pages after and before it where there are any."""

    items: list[T]
    after: str | None
    before: str | None


def cursor_page(
    items: Sequence[T],
    key: Callable[[T], Key],
    *,
    limit: int,
    descending: bool,
    after: Key | None,
    before: Key | None,
) -> CursorPage[T]:
    """The items behind `after`, or those before `before`, or the first ones."""
    ordered = sorted(items, key=key, reverse=descending)

    def precedes(one: Key, other: Key) -> bool:
        return one > other if descending else one < other

    if after is not None:
        start = sum(1 for one in ordered if not precedes(after, key(one)))
    elif before is not None:
        start = max(0, sum(1 for one in ordered if precedes(key(one), before)) - limit)
    else:
        start = 0
    end = min(len(ordered), start + limit)
    shown = ordered[start:end]
    return CursorPage(
        shown,
        after=_token(key(shown[-1])) if shown and end < len(ordered) else None,
        before=_token(key(shown[0])) if shown and start > 0 else None,
    )


def _token(key: Key) -> str:
    return base64.urlsafe_b64encode("|".join(key).encode()).decode()


def offset_paging(
    url: str, query: Mapping[str, str], *, limit: int, offset: int, total: int
) -> dict[str, Any]:
    """`paging` of a list by offset; the URLs carry the other parameters on."""

    def link(to: int) -> str:
        return f"{url}?{urlencode({**query, 'limit': limit, 'offset': to})}"

    return {
        "limit": limit,
        "offset": offset,
        "next": link(offset + limit) if offset + limit < total else None,
        "previous": link(max(0, offset - limit)) if offset > 0 else None,
    }
