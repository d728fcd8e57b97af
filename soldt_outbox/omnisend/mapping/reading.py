"""Reading a stored payload: JSON of which nothing is certain.

The functions here say what a value is, or that it is not; whether that matters is decided where the field is used.
A field broken and needed is rejected by name, a field broken and optional is left out.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from soldt_outbox.errors import PayloadRejected

type_words: Final = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    Decimal: "a number",
    type(None): "null",
}

_decode_json = msgspec.json.Decoder(float_hook=Decimal).decode


def kind_of(value: object) -> str:
    """What ``value`` is, for a sentence: ``a list``."""
    return type_words.get(type(value), f"a {type(value).__name__}")


class Source:
    """An object of the payload, and where it stands, so that a problem can name the field.

    ``outer`` is looked into for what is absent here. Null, empty text and Omnisend's placeholder ``-`` are absent.
    """

    __slots__ = ("data", "outer", "path")

    def __init__(self, data: dict[str, Any], path: str = "", outer: Source | None = None) -> None:
        self.data = data
        self.path = path
        self.outer = outer

    def get(self, names: tuple[str, ...]) -> Any:
        """The value under the first of ``names`` that has one."""
        data = self.data
        for name in names:
            if name in data:
                value = data[name]
                if value is not None and value not in ("", "-"):
                    return value
        return None if self.outer is None else self.outer.get(names)

    def where(self, names: tuple[str, ...]) -> str:
        """The path of what ``get`` found, or of the first name where it should have been."""
        source: Source | None = self
        while source is not None:
            for name in names:
                if source.data.get(name) not in (None, "", "-"):
                    return source.path + name
            source = source.outer
        return self.path + names[0]

    def reject(self, names: tuple[str, ...], problem: str) -> PayloadRejected:
        """The error that says what is wrong with a field."""
        return PayloadRejected(self.where(names), problem)


def structure(value: Any) -> Any:
    """``value``, or what it holds where JSON was stored as text once too often (``"[{…}]"``)."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return _decode_json(value)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return value
    return value


# -- text ------------------------------------------------------------------------------------------------------

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u2028\u2029]")


def text(value: Any, limit: int) -> str | None:
    """Text of at most ``limit`` characters, trimmed, without what cannot be sent; numbers are text too."""
    if type(value) is not str:
        return None if value is None else _number_as_text(value)
    if value.isprintable():  # no control characters and no lone surrogates
        cleaned = value.strip()
    else:
        cleaned = _CONTROL.sub("", value).encode("utf-8", "replace").decode().strip()
    if len(cleaned) > limit:
        cleaned = cleaned[:limit].rstrip()
    return cleaned if cleaned and cleaned != "-" else None


def ident(value: Any) -> str | None:
    """An id as text: text or a whole number, at most 100 characters (Omnisend's bound); not cut, which would alias."""
    if type(value) is int:  # SOLDT's ids
        return str(value) if -(10**18) < value < 10**18 else None
    cleaned = text(value, 101)
    return cleaned if cleaned is not None and len(cleaned) <= 100 else None


def _number_as_text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = _decimal(value)
    if number is None:
        return None
    return str(int(number)) if number == number.to_integral_value() else format(number.normalize(), "f")


def texts(value: Any, *, limit: int, count: int = 100) -> list[str]:
    """A list's texts; one text is a list of one."""
    values = structure(value)
    if isinstance(values, str):
        values = [values]
    if not isinstance(values, list):
        return []
    return [cleaned for item in values[:count] if (cleaned := text(item, limit)) is not None]


# -- numbers ---------------------------------------------------------------------------------------------------

_PLAIN_NUMBER = re.compile(r"[+-]?\d{1,15}(\.\d{0,15})?")
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_CENT: Final = Decimal("0.01")
MAX_AMOUNT: Final = Decimal(10) ** 12  # numeric(10,2) holds 10^8; beyond this it is not money


class NotANumber(ValueError):  # noqa: N818 - what it is
    """Says why, for a person: ``is negative (-5)``."""


def _decimal(value: Any) -> Decimal | None:
    """A finite number of ordinary size; never by way of binary arithmetic."""
    try:
        match value:
            case bool():
                return None
            case Decimal():
                number = value
            case int():
                number = Decimal(value) if -(10**18) < value < 10**18 else Decimal("NaN")
            case float():
                number = Decimal(repr(value))
            case str() if _PLAIN_NUMBER.fullmatch(value.strip()) and value.isascii():
                number = Decimal(value.strip())
            case _:
                return None
    except InvalidOperation:
        return None
    if not number.is_finite():
        return None
    if number == 0:
        return Decimal(0)
    return number if -18 <= number.adjusted() <= 18 else None


def amount(value: Any) -> Decimal:
    """Money in major units, to the cent, half up. Raises ``NotANumber``."""
    number = value if type(value) is Decimal and value.is_finite() else _decimal(value)
    if number is None:
        raise NotANumber(f"is not an amount ({_shown(value)})")
    if number < 0:
        raise NotANumber(f"is negative ({_shown(value)})")
    if number > MAX_AMOUNT:
        raise NotANumber(f"is too large for an amount ({_shown(value)})")
    return number.quantize(_CENT, ROUND_HALF_UP)


def optional_amount(value: Any) -> Decimal | None:
    """Money, or ``None`` for what is none."""
    if value is None:
        return None
    try:
        return amount(value)
    except NotANumber:
        return None


def currency(value: Any, default: str) -> str:
    """An ISO 4217 code in upper case; ``default``, the merchant's, where ``value`` is none."""
    cleaned = text(value, 4)
    return cleaned.upper() if cleaned is not None and _CURRENCY.fullmatch(cleaned) else default


def quantity(value: Any) -> int:
    """A whole number from 1. Raises ``NotANumber``."""
    if type(value) is int and 0 < value <= 1_000_000:
        return value
    number = _decimal(value)
    if number is None or number != number.to_integral_value():
        raise NotANumber(f"is not a whole number ({_shown(value)})")
    if not 0 < number <= 1_000_000:
        raise NotANumber(f"is not between 1 and 1,000,000 ({_shown(value)})")
    return int(number)


def _shown(value: Any) -> str:
    """A value in a sentence: short, and printable anywhere."""
    if isinstance(value, str):
        return ascii(value[:30])
    return str(value)[:30] if isinstance(value, Decimal | float | bool) else kind_of(value)


# -- time ------------------------------------------------------------------------------------------------------


def instant(value: datetime) -> str:
    """RFC 3339 in UTC, to the millisecond: ``2026-11-21T10:00:00.123Z``."""
    return value.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def optional_instant(value: Any) -> str | None:
    """An instant written as ISO 8601, as PostgreSQL and JavaScript do; UTC where no zone is told."""
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value.strip())
        return instant(parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None
