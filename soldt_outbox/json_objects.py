"""JSON as this project writes and reads it, and a check of objects that PostgreSQL's jsonb is to hold.

What jsonb cannot hold would fail the statement that writes it, and with it everything else in the transaction.
"""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec

MAX_PAYLOAD_BYTES: Final = (
    1_000_000  # of JSON; the database takes 1 MiB, Omnisend advises at most 1 MB per request
)
MAX_DEPTH: Final = 32  # an order's deepest value is at 4; beyond some thousands PostgreSQL refuses
MAX_PLACES: Final = 16_383  # decimal places of PostgreSQL's numeric ("Numeric Types", table 8.2)

# A number with a fraction is a Decimal, never a float.
encode = msgspec.json.Encoder(decimal_format="number").encode
decode = msgspec.json.Decoder(float_hook=Decimal).decode


def json_object(value: object) -> dict[str, Any]:
    """A JSON object as it will be stored, numbers with a fraction as ``Decimal``. Raises ``ValueError``."""
    if not isinstance(value, dict):
        raise ValueError(f"is a {type(value).__name__}, not an object")  # noqa: TRY004 - pydantic's contract
    _check(value)
    try:
        encoded = encode(value)
    except (OverflowError, msgspec.MsgspecError) as error:
        raise ValueError(f"cannot be JSON: {error}") from None
    if len(encoded) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"has {len(encoded):,} bytes as JSON; at most {MAX_PAYLOAD_BYTES:,} are taken")
    decoded: dict[str, Any] = decode(encoded)
    return decoded


def check_text(value: str, path: str) -> None:
    """Refuse text that PostgreSQL cannot store. Raises ``ValueError``, which names it by ``path``."""
    if "\0" in value:
        raise ValueError(f"{path} holds a NUL character, which PostgreSQL cannot store")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{path} holds half of a surrogate pair, which is not text") from None


def _check(root: dict[Any, Any]) -> None:
    """Refuse what JSON or PostgreSQL's jsonb cannot hold. Without recursion: nesting is what is being checked."""
    todo: list[tuple[Any, str, int]] = [(root, "", 1)]
    seen = 0
    while todo:
        value, path, depth = todo.pop()
        seen += 1
        if (
            seen > MAX_PAYLOAD_BYTES // 2
        ):  # a value and its comma take two bytes; also ends what contains itself
            raise ValueError(f"holds more values than fit into {MAX_PAYLOAD_BYTES:,} bytes")
        if depth > MAX_DEPTH:
            raise ValueError(f"{path[:80]} is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            for key, child in value.items():
                if not isinstance(key, str):
                    raise ValueError(f"{path or 'the object'} has a key that is not text")  # noqa: TRY004
                check_text(key, f"a key of {path or 'the object'}")
                todo.append((child, f"{path}.{key}" if path else key, depth + 1))
        elif isinstance(value, list | tuple):
            todo.extend((child, f"{path}[{i}]", depth + 1) for i, child in enumerate(value))
        else:
            _check_scalar(value, path)


def _check_scalar(value: Any, path: str) -> None:
    if isinstance(value, str):
        check_text(value, path)
    elif isinstance(value, float | Decimal):
        if not math.isfinite(value):
            raise ValueError(f"{path} is {value}, which JSON has no number for")
        if isinstance(value, Decimal) and -int(value.as_tuple().exponent) > MAX_PLACES:
            raise ValueError(
                f"{path} has more than {MAX_PLACES:,} decimal places, which PostgreSQL cannot store"
            )
    elif value is not None and not isinstance(value, bool | int | datetime | UUID):
        raise ValueError(f"{path} is a {type(value).__name__}, which JSON cannot hold")
