"""chancy's job. It finds a job's function by module and name, so the function finds the client in its module."""

from __future__ import annotations

from benchmarks.peers.program import Post

_post: list[Post] = []


def use(post: Post) -> None:
    """Send by ``post`` from now on."""
    _post[:] = [post]


async def send(*, key: str, body: str) -> None:
    await _post[0](key, body.encode())
