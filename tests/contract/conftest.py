"""The stand-in, and the recorder before it: what the clients send is compared first, and judged by the stand-in second."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from sandbox.omnisend import OmnisendStandIn
from soldt_outbox.omnisend.client import OmnisendClient
from soldt_outbox.omnisend.dialects import Dialect
from soldt_outbox.rows import OmnisendRequest
from tests.contract.expectations import Expectation, differences
from tests.contract.recorder import Recorder, Sent


class Wire:
    """A brand at the stand-in, and the way there."""

    def __init__(self, standin: OmnisendStandIn, recorder: Recorder, stack: AsyncExitStack) -> None:
        self.standin = standin
        self.recorder = recorder
        self.brand = standin.add_brand()
        self._stack = stack

    @property
    def url(self) -> str:
        return self.recorder.url

    async def client(self, dialect: Dialect) -> OmnisendClient:
        return await self._stack.enter_async_context(OmnisendClient(self.url, dialect))

    async def send(self, request: OmnisendRequest, dialect: Dialect, credential: str) -> Sent:
        """Send it and return what the wire had of it."""
        await (await self.client(dialect)).send(request, credential)
        return self.recorder.sent[-1]

    def check(self, expected: Expectation) -> None:
        """That the last request is as expected, and that the stand-in, which read the documentation too, agrees."""
        sent, judged = self.recorder.sent[-1], self.standin.received()[-1].findings
        complaints = differences(sent, expected)
        complaints += [f"the stand-in: {one.path} {one.message} ({one.severity})" for one in judged]
        if sent.status != expected.answer:
            complaints.append(f"it was answered {sent.status} and should be answered {expected.answer}")
        assert not complaints, "\n".join([*complaints, f"documented at {' '.join(expected.source)}"])


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with AsyncExitStack() as stack:
        standin = await stack.enter_async_context(OmnisendStandIn())
        recorder = await stack.enter_async_context(Recorder(standin.url))
        yield Wire(standin, recorder, stack)
