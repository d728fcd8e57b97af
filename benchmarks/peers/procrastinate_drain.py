"""procrastinate, by its pages on concurrency, on the size of the pool and on deleting finished jobs.

- Async tasks with ``concurrency=30``, the figure of its page, and with 10: it fetches one job a call, in one loop, so
  that more jobs at once do not help where they are short.
- A pool of "as many connections as your concurrency (plus one)", as for short jobs.
- ``delete_jobs="always"``, so that its table stays small.
- Enqueued by ``batch_defer_async``.
"""

from __future__ import annotations

import logging

from procrastinate import App, PsycopgConnector
from procrastinate.types import JSONDict

from benchmarks.peers.program import Drain, Event, Post, chunks, http_client, run


async def fill(database: str, events: list[Event]) -> None:
    app = App(connector=PsycopgConnector(conninfo=database))
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for some in chunks(events):
            jobs: list[JSONDict] = [{"key": event.key, "body": event.body.decode()} for event in some]
            await app.configure_task("event").batch_defer_async(*jobs)


async def drain(asked: Drain) -> None:
    concurrency = int(asked.setting)
    async with http_client(asked, connections=concurrency) as post:
        app = _app(asked.database, concurrency, post)
        async with app.open_async():
            await app.run_worker_async(
                concurrency=concurrency, delete_jobs="always", install_signal_handlers=False
            )


def _app(database: str, concurrency: int, post: Post) -> App:
    app = App(connector=PsycopgConnector(conninfo=database, min_size=concurrency, max_size=concurrency + 1))

    @app.task(name="event")
    async def send(key: str, body: str) -> None:
        await post(key, body.encode())

    return app


if __name__ == "__main__":
    logging.getLogger("procrastinate").setLevel(logging.ERROR)  # it warns of an app in the main module
    run(fill=fill, drain=drain)
