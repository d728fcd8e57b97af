"""The properties of an event of the merchant's own: passed on as they are, within bounds.

Omnisend documents no bounds for them. These keep a mistake (a page's whole state, a map with a key for each customer)
from becoming hundreds of fields in the merchant's account, where nobody can remove them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from soldt_outbox.errors import PayloadRejected

MAX_KEYS: Final = 200  # in all, at every level
MAX_KEY: Final = 100  # characters
MAX_LEVELS: Final = 5  # of objects and lists; ``properties`` is the first
MAX_ITEMS: Final = 500  # of one list
MAX_TEXT: Final = 10_000  # characters
MAX_DIGITS: Final = 18  # before the point, and after it

_ROOT: Final = "properties"
_SHOWN_PATH: Final = 200  # characters

JsonObject = dict[str, Any]


def custom_properties(value: Any) -> JsonObject:
    """``value`` as it is sent: without nulls and without objects and lists that hold nothing, numbers as ``Decimal``.

    Raises ``PayloadRejected``, which names the field, for what is no object or is out of bounds. Nothing is cut: half
    a text would be another one than the caller's.
    """
    if value is None:
        raise PayloadRejected(_ROOT, "is missing: it is an object, {} where there is nothing to say")
    if not isinstance(value, dict):
        raise PayloadRejected(_ROOT, "is not an object")
    return _Reader().members(value, _ROOT, 1)


class _Reader:
    """Walks through one event's properties and counts their keys."""

    __slots__ = ("_keys",)

    def __init__(self) -> None:
        self._keys = 0

    def members(self, value: JsonObject, path: str, level: int) -> JsonObject:
        _check_level(path, level)
        self._keys += len(value)
        if self._keys > MAX_KEYS:
            raise PayloadRejected(_ROOT, f"has more than {MAX_KEYS} keys in all")
        for key in value:
            _check_key(key, path)
        found = ((key, self._value(child, f"{path}.{key}", level)) for key, child in value.items())
        return {key: child for key, child in found if child is not None}

    def _items(self, value: list[Any] | tuple[Any, ...], path: str, level: int) -> list[Any]:
        _check_level(path, level)
        if len(value) > MAX_ITEMS:
            raise _rejected(path, f"has {len(value):,} items; at most {MAX_ITEMS} are taken")
        found: Iterable[Any] = (self._value(item, f"{path}[{i}]", level) for i, item in enumerate(value))
        return [item for item in found if item is not None]

    def _value(self, value: Any, path: str, level: int) -> Any:
        """What is sent of ``value``; ``None`` for nothing."""
        match value:
            case None | bool():
                return value
            case str():
                return _text(value, path)
            case int() | float() | Decimal():
                return _number(value, path)
            case dict():
                return self.members(value, path, level + 1) or None
            case list() | tuple():
                return self._items(value, path, level + 1) or None
            case _:
                raise _rejected(path, "is no JSON value")


def _check_level(path: str, level: int) -> None:
    if level > MAX_LEVELS:
        raise _rejected(path, f"is nested deeper than {MAX_LEVELS} levels")


def _check_key(key: Any, path: str) -> None:
    if not isinstance(key, str):
        raise _rejected(path, "has a key that is not text")
    if not 1 <= len(key) <= MAX_KEY:
        raise _rejected(path, f"has a key of {len(key):,} characters; a key has 1 to {MAX_KEY}")
    # Cc: control characters; Cs: halves of surrogate pairs, which are not text.
    if not key.isprintable() and any(unicodedata.category(character) in ("Cc", "Cs") for character in key):
        raise _rejected(path, "has a key with a control character in it")


def _text(value: str, path: str) -> str:
    if len(value) > MAX_TEXT:
        raise _rejected(path, f"has {len(value):,} characters; at most {MAX_TEXT:,} are sent")
    if not value.isprintable():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _rejected(path, "holds half of a surrogate pair, which is not text") from None
    return value


def _number(value: float | Decimal, path: str) -> Decimal:
    """Finite and of a size that every reader of JSON keeps; never by way of binary arithmetic."""
    if isinstance(value, int):
        if abs(value) >= 10**MAX_DIGITS:
            raise _rejected(path, f"has more than {MAX_DIGITS} digits")
        return Decimal(value)
    number = Decimal(repr(value)) if isinstance(value, float) else value
    if not number.is_finite():
        raise _rejected(path, "is no finite number")
    if not number:
        return Decimal(0)
    exponent = number.as_tuple().exponent
    if number.adjusted() >= MAX_DIGITS or (isinstance(exponent, int) and exponent < -MAX_DIGITS):
        raise _rejected(path, f"has more than {MAX_DIGITS} digits before the point or after it")
    return number


def _rejected(path: str, problem: str) -> PayloadRejected:
    return PayloadRejected(path if len(path) <= _SHOWN_PATH else f"{path[: _SHOWN_PATH - 1]}…", problem)
