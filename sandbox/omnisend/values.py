"""Checks of single values, and how they combine into objects and lists.

A check takes a value, where it stands (the parent's path and its own name; joined only when there is something to
report) and the findings to add to. The tables of `documented` are built from these once, at import.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

from sandbox.omnisend.findings import Findings, join

Check = Callable[[Any, str, str, Findings], None]

PLACEHOLDERS: Final = frozenset({"-", "--", "n/a", "N/A", "null", "None", "undefined", "NaN"})

_URL: Final = re.compile(r"https?://[^\s/?#@:]+(?::\d+)?(?:[/?#]\S*)?", re.IGNORECASE)
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_LOCAL_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_E164: Final = re.compile(r"\+[1-9]\d{6,14}")
_UUID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[4-7][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE
)


@lru_cache(maxsize=4096)
def is_url(value: str) -> bool:
    """Whether it is an absolute http(s) URL; remembered, for events name the same few products over and over."""
    return _URL.fullmatch(value) is not None


def is_e164(value: str) -> bool:
    return _E164.fullmatch(value) is not None


def is_event_id(value: str) -> bool:
    """UUID version 4 to 7 (DOCS/v5/reference-link/events)."""
    return _UUID.fullmatch(value) is not None


def instant(value: str) -> datetime | None:
    """The instant an RFC 3339 string stands for, or None when it is none."""
    if _RFC3339.fullmatch(value) is None:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def spaced_instant(value: str) -> datetime | None:
    """The instant of `YYYY-MM-DD HH:MM:SS±HH:MM`, which the Events API of version 2026-03-15 takes too."""
    return instant(value.replace(" ", "T", 1)) if value[10:11] == " " else None


def _wrong_type(value: object, expected: str, parent: str, name: str, out: Findings) -> None:
    out.ignored("property_type", parent, name, f"must be {expected}, is {json_type(value)}")


def json_type(value: object) -> str:
    """What JSON calls it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"


def text(value: Any, parent: str, name: str, out: Findings) -> None:
    if type(value) is not str:
        _wrong_type(value, "a string", parent, name, out)
    elif value in PLACEHOLDERS:
        out.ignored("placeholder", parent, name, f"{value!r} stands for nothing; leave the property out")
    elif not value or value.isspace():
        out.ignored("empty_text", parent, name, "is empty; leave the property out")


def url(value: Any, parent: str, name: str, out: Findings) -> None:
    if type(value) is not str:
        _wrong_type(value, "a string with a URL", parent, name, out)
    elif not is_url(value):
        out.ignored("url_invalid", parent, name, "must be an absolute http(s) URL")


def currency(value: Any, parent: str, name: str, out: Findings) -> None:
    if type(value) is not str:
        _wrong_type(value, "a string", parent, name, out)
    elif _CURRENCY.fullmatch(value) is None:
        out.ignored("currency_invalid", parent, name, "must be an ISO 4217 code in upper case")


def date(value: Any, parent: str, name: str, out: Findings) -> None:
    """A date string; the documentation's own example has no offset, so none is asked for."""
    if type(value) is not str:
        _wrong_type(value, "a date string", parent, name, out)
    elif instant(value) is None and not _is_local_time(value):
        out.ignored("date_invalid", parent, name, "must be an RFC 3339 date and time")


def _is_local_time(value: str) -> bool:
    return _LOCAL_TIME.fullmatch(value) is not None and instant(value + "Z") is not None


def boolean(value: Any, parent: str, name: str, out: Findings) -> None:
    if type(value) is not bool:
        _wrong_type(value, "a boolean", parent, name, out)


def number(value: Any, parent: str, name: str, out: Findings) -> None:
    if type(value) is not float and type(value) is not int:
        _wrong_type(value, "a number", parent, name, out)


def money(value: Any, parent: str, name: str, out: Findings) -> None:
    """An amount in major units (19.99)."""
    if type(value) is not float and type(value) is not int:
        _wrong_type(value, "a number", parent, name, out)
        return
    if value < 0:
        out.ignored("money_negative", parent, name, "amounts are not negative")
    if type(value) is float and round(value, 2) != value:
        out.ignored("money_decimals", parent, name, "has more than two decimals")


def quantity(value: Any, parent: str, name: str, out: Findings) -> None:
    if type(value) is not float and type(value) is not int:
        _wrong_type(value, "a number", parent, name, out)
    elif value < 1 or value != int(value):
        out.ignored("quantity_invalid", parent, name, "must be a whole number, 1 or more")


def digits(value: Any, parent: str, name: str, out: Findings) -> None:
    """The order number: the table says number, the example beside it is the string "4122111"; so either is right."""
    if type(value) is int:
        return
    if type(value) is not str or not (value.isascii() and value.isdigit()):
        _wrong_type(value, "a number, or digits in a string", parent, name, out)


def one_of(words: Iterable[str]) -> Check:
    known = tuple(words)

    def check(value: Any, parent: str, name: str, out: Findings) -> None:
        if type(value) is not str:
            _wrong_type(value, "a string", parent, name, out)
        elif value not in known:
            out.ignored("status_unknown", parent, name, f"{value[:40]!r} is none of {', '.join(known)}")

    return check


def list_of(item: Check, *, never_empty: bool = False) -> Check:
    def check(value: Any, parent: str, name: str, out: Findings) -> None:
        if type(value) is not list:
            _wrong_type(value, "a list", parent, name, out)
            return
        path = join(parent, name)
        if never_empty and not value:
            out.ignored("list_empty", parent, name, "has no item")
        for index, entry in enumerate(value):
            if entry is None:
                out.ignored("null", path, f"[{index}]", "is null; leave it out")
            else:
                item(entry, path, f"[{index}]", out)

    return check


def members(
    fields: Mapping[str, Check], *, required: Iterable[str] = (), removed: Iterable[str] = ()
) -> Check:
    """An object whose properties are known.

    Args:
        fields: each documented property and the check of its value.
        required: those without which the event lacks what it is for.
        removed: those the documentation names as no longer read.
    """
    needed = frozenset(required)
    gone = frozenset(removed)
    known = {key: of_entry for key, of_entry in fields.items() if key not in gone}

    def check(value: Any, parent: str, name: str, out: Findings) -> None:
        if type(value) is not dict:
            _wrong_type(value, "an object", parent, name, out)
            return
        path = join(parent, name)
        for key, entry in value.items():
            of_entry = known.get(key)
            if of_entry is None:
                _unknown(key, path, out)
            elif entry is None:
                out.ignored("null", path, key, "is null; leave the property out")
            else:
                of_entry(entry, path, key, out)
        if not needed <= value.keys():
            for key in sorted(needed - value.keys()):
                out.ignored("property_missing", path, key, "is required and was not sent")

    def _unknown(key: str, path: str, out: Findings) -> None:
        if key in gone:
            out.ignored("property_removed", path, key[:100], "was removed from this event")
            return
        near = get_close_matches(key, fields, n=1, cutoff=0.75)
        hint = f"; is {near[0]} meant?" if near else ""
        out.ignored("property_unknown", path, key[:100], f"is not a property of this event{hint}")

    return check


def anything(value: Any, parent: str, name: str, out: Findings) -> None:
    """A value of no documented shape: only nulls and placeholders are reported."""
    _walk(value, parent, name, out, 0)


def _walk(value: Any, parent: str, name: str, out: Findings, depth: int) -> None:
    if value is None:
        out.ignored("null", parent, name, "is null; leave the property out")
    elif type(value) is str:
        if value in PLACEHOLDERS:
            out.ignored("placeholder", parent, name, f"{value!r} stands for nothing; leave the property out")
    elif depth < 50:  # deeper than any event, and far from Python's own limit
        if type(value) is dict:
            for key, entry in value.items():
                _walk(entry, join(parent, name), key, out, depth + 1)
        elif type(value) is list:
            for index, entry in enumerate(value):
                _walk(entry, join(parent, name), f"[{index}]", out, depth + 1)
