"""Collecting findings while a request is checked."""

from __future__ import annotations

from typing import Final

from sandbox.omnisend.model import Finding, Severity

MAX_FINDINGS: Final = 50
"""Per request: ten thousand broken line items must not become ten thousand findings in memory."""


def join(parent: str, name: str) -> str:
    """`lineItems` + `[0]` + `productID` as `lineItems[0].productID`."""
    if not parent or name.startswith("["):
        return parent + name
    return f"{parent}.{name}"


class Findings:
    """A bounded list of findings."""

    __slots__ = ("items", "left_out")

    def __init__(self) -> None:
        self.items: list[Finding] = []
        self.left_out = 0

    def ignored(self, code: str, parent: str, name: str, message: str) -> None:
        self._add("ignored", code, parent, name, message)

    def rejected(self, code: str, parent: str, name: str, message: str) -> None:
        self._add("rejected", code, parent, name, message)

    def has_rejection_under(self, path: str) -> bool:
        """Whether something at this path or in it is rejected."""
        return any(one.severity == "rejected" and one.path.startswith(path) for one in self.items)

    def _add(self, severity: Severity, code: str, parent: str, name: str, message: str) -> None:
        if len(self.items) >= MAX_FINDINGS and severity == "ignored":
            self.left_out += 1
            return
        self.items.append(Finding(severity, code, join(parent, name), message))
