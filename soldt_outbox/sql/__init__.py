"""The package's SQL: every statement in ``*.sql`` beside this file, named and described there, read once.

A statement starts at a line ``-- name: some_name`` and runs to the next one. Its description is the comment
under that line. Placeholders are psycopg's ``%(name)s``.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import LiteralString

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


def _parse(text: str) -> dict[str, LiteralString]:
    parts = _NAME.split(text)[1:]
    return {
        name: _COMMENT.sub("", body).strip().rstrip(";")
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }


def _load() -> dict[str, LiteralString]:
    queries: dict[str, LiteralString] = {}
    for file in sorted(resources.files(__name__).iterdir(), key=lambda item: item.name):
        if file.name.endswith(".sql"):
            for name, query in _parse(file.read_text(encoding="utf-8")).items():
                if name in queries:
                    message = f"two statements are named {name}"
                    raise ValueError(message)
                queries[name] = query
    return queries


#: Every statement by its name.
queries: dict[str, LiteralString] = _load()
