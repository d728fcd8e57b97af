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

MAX_KEYS: Final = 100  # of an object that is read key by key; of a larger one, name by name

_NOTHING: Final = ("", "-")

_decode_json = msgspec.json.Decoder(float_hook=Decimal).decode


def kind_of(value: object) -> str:
    """What ``value`` is, for a sentence: ``a list``."""
    return type_words.get(type(value), f"a {type(value).__name__}")


class Names:
    """Under which names objects of one kind hold their fields; of several that have a value, the first counts.

    Null, empty text and Omnisend's placeholder ``-`` are no value.
    """

    __slots__ = ("_field_of", "fields")

    def __init__(self, **fields: tuple[str, ...]) -> None:
        self.fields = fields
        self._field_of = {name: field for field, names in fields.items() for name in names}
        if len(self._field_of) < sum(map(len, fields.values())):
            raise ValueError("a name stands for one field")

    def read(self, data: dict[str, Any]) -> dict[str, Any]:
        """The fields that have a value. One pass over the object, which has fewer keys than there are names."""
        field_of = self._field_of
        if len(data) > MAX_KEYS:
            data = {name: data[name] for name in field_of if name in data}
        found: dict[str, Any] = {}
        for name, value in data.items():
            field = field_of.get(name)
            if (
                field is None or value is None or (type(value) is str and value in _NOTHING)
            ):  # is_absent, without a call
                continue
            found[field] = value if field not in found else data[self.first(field, data)]
        return found

    def first(self, field: str, data: dict[str, Any]) -> str:
        """The name under which ``data`` has the field, or the name under which it should."""
        names = self.fields[field]
        return next((name for name in names if not is_absent(data.get(name))), names[0])


def is_absent(value: Any) -> bool:
    """Whether ``value`` says nothing."""
    return value is None or (type(value) is str and value in _NOTHING)


class Source:
    """An object of the payload, its fields by one name each, and where it stands, so that a problem can name the field.

    ``outer`` is the object around it, which is looked into for what is absent here.
    """

    __slots__ = ("data", "get", "names", "outer", "path")

    def __init__(
        self, data: dict[str, Any], names: Names, path: str = "", outer: dict[str, Any] | None = None
    ) -> None:
        self.data = data
        self.names = names
        self.path = path
        self.outer = outer
        found = names.read(data)
        #: The value of a field, or None.
        self.get = (found if outer is None else names.read(outer) | found).get

    def where(self, field: str) -> str:
        """The path of what ``get`` found, or of the first name where it should have been."""
        name = self.names.first(field, self.data)
        if self.outer is not None and is_absent(self.data.get(name)):
            outside = self.names.first(field, self.outer)
            if not is_absent(self.outer.get(outside)):
                return outside
        return self.path + name

    def reject(self, field: str, problem: str) -> PayloadRejected:
        """The error that says what is wrong with a field."""
        return PayloadRejected(self.where(field), problem)


def event_source(payload: dict[str, Any], properties: Any, names: Names) -> Source:
    """An event's properties, and the payload for what they lack; or the payload, where its fields stand at the top."""
    if isinstance(properties, dict):
        return Source(properties, names, "properties.", payload)
    return Source(payload, names)


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
