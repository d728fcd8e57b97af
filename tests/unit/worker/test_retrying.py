import asyncio

import pytest

from soldt_outbox.errors import MayHaveBeenSeen, NeverSeen, TransportError
from soldt_outbox.omnisend.answers import Answer
from worker import retrying
from worker.retrying import send_within_lease

End = Answer | Exception


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Waits are noted and not sat out."""
    noted: list[float] = []

    async def note(seconds: float) -> None:
        noted.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", note)
    monkeypatch.setattr(retrying._AGAIN, "sleep", note)
    return noted


async def _send(*ends: End) -> tuple[End, int]:
    """How it ends, and after how many requests, when the requests end so."""
    left = list(ends)

    async def once() -> Answer:
        end = left.pop(0)
        if isinstance(end, Exception):
            raise end
        return end

    try:
        last: End = await send_within_lease(once)
    except TransportError as error:
        last = error
    return last, len(ends) - len(left)


@pytest.mark.parametrize("status", [200, 202, 400, 401, 403, 404, 408, 410, 429, 500, 504])
async def test_an_answer_that_a_moment_will_not_change_is_final(status: int, waits: list[float]) -> None:
    answer = Answer(status=status)
    assert await _send(answer, Answer(status=202)) == (answer, 1)
    assert waits == []


@pytest.mark.parametrize("first", [Answer(status=502), Answer(status=503), NeverSeen("refused")], ids=str)
async def test_what_passes_soon_is_tried_again_in_a_moment(first: End, waits: list[float]) -> None:
    answer = Answer(status=202)
    assert await _send(first, answer) == (answer, 2)
    assert 0 < sum(waits) <= 1


async def test_three_requests_are_the_most_and_the_last_end_counts(waits: list[float]) -> None:
    last = NeverSeen("refused")
    assert await _send(Answer(status=503), Answer(status=502), last, Answer(status=202)) == (last, 3)
    answer = Answer(status=503)
    assert await _send(NeverSeen("a"), NeverSeen("b"), answer, Answer(status=202)) == (answer, 3)
    assert sum(waits) < 8


async def test_what_may_have_been_seen_is_never_sent_again_at_once() -> None:
    error = MayHaveBeenSeen("reset")
    assert await _send(error, Answer(status=202)) == (error, 1)
    assert await _send(NeverSeen("a"), error, Answer(status=202)) == (error, 2)
