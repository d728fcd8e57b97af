"""Expectations as they stand in this folder's JSON files, and how a request is compared with one, field by field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tests.contract.recorder import Sent

HERE = Path(__file__).parent
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One file. ``headers`` by name in lower case, None for one that must not be sent; ``answer`` is the documented status."""

    source: list[str]
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str | None]
    body: Any
    answer: int


def files() -> list[str]:
    """Every expectation there is: ``v5/order_placed``."""
    return sorted(str(found.relative_to(HERE).with_suffix("")) for found in HERE.glob("*/*.json"))


def expectation(name: str, **known: str) -> Expectation:
    """The one at ``name``; ``{credential}`` and whatever else cannot stand in a file is filled in from ``known``."""
    read = _filled(json.loads((HERE / f"{name}.json").read_text("utf-8"), parse_float=Decimal), known)
    request = read["request"]
    return Expectation(
        source=read["source"],
        method=request["method"],
        path=request["path"],
        query=request.get("query", {}),
        headers={header.lower(): value for header, value in request["headers"].items()},
        body=request.get("body"),
        answer=read["answer"],
    )


def _filled(value: Any, known: dict[str, str]) -> Any:
    match value:
        case str():
            for name, secret in known.items():
                value = value.replace(f"{{{name}}}", secret)
            return value
        case dict():
            return {key: _filled(child, known) for key, child in value.items()}
        case list():
            return [_filled(child, known) for child in value]
        case _:
            return value


def differences(sent: Sent, expected: Expectation) -> list[str]:
    """Each field in which the request is another than the expectation, as a sentence that names it."""
    path, _, query = sent.target.partition("?")
    told = {"method": sent.method, "path": path, "query": dict(parse_qsl(query)), "body": _body(sent)}
    wanted = {
        "method": expected.method,
        "path": expected.path,
        "query": expected.query,
        "body": expected.body,
    }
    headers = {f"headers.{name}": sent.headers.get(name) for name in expected.headers}
    return _compare(
        _flat(told) | headers, _flat(wanted) | {f"headers.{n}": v for n, v in expected.headers.items()}
    )


def _body(sent: Sent) -> Any:
    if not sent.body:
        return None
    if sent.headers.get("content-type") == FORM:
        return dict(parse_qsl(sent.body.decode(), strict_parsing=True))
    return json.loads(sent.body, parse_float=Decimal)


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Every value by its path: ``body.properties.lineItems[0].productPrice``; empty objects and lists are values."""
    match value:
        case dict() if value:
            return {
                where: leaf
                for key, child in value.items()
                for where, leaf in _flat(child, f"{path}.{key}" if path else key).items()
            }
        case list() if value:
            return {
                where: leaf
                for i, child in enumerate(value)
                for where, leaf in _flat(child, f"{path}[{i}]").items()
            }
        case _:
            return {path: value}


def _compare(sent: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    found = [f"{path} is missing" for path in sorted(wanted.keys() - sent.keys())]
    found += [f"{path} is not expected: {sent[path]!r}" for path in sorted(sent.keys() - wanted.keys())]
    found += [
        f"{path} is {sent[path]!r} and should be {wanted[path]!r}"
        for path in sorted(sent.keys() & wanted.keys())
        if (_kind(sent[path]), sent[path]) != (_kind(wanted[path]), wanted[path])
    ]
    return found


def _kind(value: Any) -> str:
    """JSON has one kind of number; Python's true is 1."""
    return (
        "number" if isinstance(value, int | Decimal) and not isinstance(value, bool) else type(value).__name__
    )
