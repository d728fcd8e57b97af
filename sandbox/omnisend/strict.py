"""Checks of single values whose failure is a 400, and how they combine; the counterpart of `values`, whose only lose effect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from sandbox.omnisend.findings import Findings, join
from sandbox.omnisend.values import Check, instant, is_url, json_type

_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_SECONDS: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def _is_text(value: Any, parent: str, name: str, out: Findings, longest: int) -> bool:
    if type(value) is not str:
        out.rejected("field_type", parent, name, f"must be a string, is {json_type(value)}")
    elif len(value) > longest:
        out.rejected("too_long", parent, name, f"has {len(value)} characters, {longest} are allowed")
    else:
        return True
    return False


def text(longest: int, *, shortest: int = 0) -> Check:
    def check(value: Any, parent: str, name: str, out: Findings) -> None:
        if _is_text(value, parent, name, out, longest) and len(value) < shortest:
            out.rejected("field_missing", parent, name, "must not be empty")

    return check


def identifier(longest: int) -> Check:
    """An id of the shop's own (the pattern: wp-omnisend 7e70994, "align mappings and limits with /api source")."""

    def check(value: Any, parent: str, name: str, out: Findings) -> None:
        if _is_text(value, parent, name, out, longest) and _ID.fullmatch(value) is None:
            out.rejected("id_invalid", parent, name, "must be one or more of A-Z, a-z, 0-9, _ and -")

    return check


def url(longest: int) -> Check:
    def check(value: Any, parent: str, name: str, out: Findings) -> None:
        if _is_text(value, parent, name, out, longest) and not is_url(value):
            out.rejected("url_invalid", parent, name, "must be an absolute http(s) URL")

    return check


def one_of(words: Iterable[str]) -> Check:
    known = tuple(words)

    def check(value: Any, parent: str, name: str, out: Findings) -> None:
        if value not in known:
            out.rejected("value_unknown", parent, name, f"must be one of {', '.join(known)}")

    return check


def currency(value: Any, parent: str, name: str, out: Findings) -> None:
    if type(value) is not str or _CURRENCY.fullmatch(value) is None:
        out.rejected("currency_invalid", parent, name, "must be three letters in upper case")


def seconds(value: Any, parent: str, name: str, out: Findings) -> None:
    """An instant to the second in UTC; no fraction, no other offset (wp-omnisend 7e70994)."""
    if type(value) is not str or _SECONDS.fullmatch(value) is None or instant(value) is None:
        out.rejected("date_invalid", parent, name, "must be of the form YYYY-MM-DDTHH:MM:SSZ")


def price(value: Any, parent: str, name: str, out: Findings) -> None:
    """An amount in major units, not negative, with two decimals at most (wp-omnisend 7e70994)."""
    if type(value) is not int and type(value) is not float:
        out.rejected("field_type", parent, name, f"must be a number, is {json_type(value)}")
    elif value < 0:
        out.rejected("price_invalid", parent, name, "must not be negative")
    elif type(value) is float and round(value, 2) != value:
        out.rejected("price_invalid", parent, name, "has more than two decimals")


def list_of(item: Check, longest: int, *, shortest: int = 0) -> Check:
    def check(value: Any, parent: str, name: str, out: Findings) -> None:
        if type(value) is not list:
            out.rejected("field_type", parent, name, f"must be a list, is {json_type(value)}")
            return
        if not shortest <= len(value) <= longest:
            out.rejected(
                "list_length", parent, name, f"has {len(value)} items, {shortest} to {longest} are allowed"
            )
        path = join(parent, name)
        for index, entry in enumerate(value[:longest]):
            item(entry, path, f"[{index}]", out)

    return check


def members(fields: Mapping[str, Check], *, required: Iterable[str]) -> Check:
    """An object; a field that is not known is ignored, and so is one that is null."""
    needed = frozenset(required)

    def check(value: Any, parent: str, name: str, out: Findings) -> None:
        if type(value) is not dict:
            out.rejected("field_type", parent, name, f"must be an object, is {json_type(value)}")
            return
        path = join(parent, name)
        for key, entry in value.items():
            of_entry = fields.get(key)
            if of_entry is None:
                near = get_close_matches(key, fields, n=1, cutoff=0.75)
                hint = f"; is {near[0]} meant?" if near else ""
                out.ignored("field_unknown", path, key[:100], f"is not a field of this object{hint}")
            elif entry is None:
                out.ignored("null", path, key, "is null; leave the field out")
            else:
                of_entry(entry, path, key, out)
        for key in sorted(key for key in needed if value.get(key) is None):
            out.rejected("field_missing", path, key, "is required")

    return check
