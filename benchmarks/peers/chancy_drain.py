"""chancy, by its pages on queues, executors and workers.

- The async executor, "useful for running large numbers of IO-bound jobs", at its default concurrency of 100 (with
  httpx of 10, which is faster there).
  In the queue "default", since a worker declares that one anyway, and would start processes for it.
- ``eager_polling``: the next jobs are fetched when one completes, not at the next of its polls (every 5 s).
- Outcomes are written every 0.1 s and not every second (``send_outgoing_interval``), so that the last ones do not
  wait for a second to be counted.
- Of the plugins that come by default those that a deployment needs (leadership, pruner, recovery), without metrics
  and workflows, which look at each job.
- Its logger at the level of warnings: it logs each job.
- Enqueued by ``push_many``.
"""

from __future__ import annotations

import logging

from chancy import Chancy, Job, Queue, Worker
from chancy.plugins.leadership import Leadership
from chancy.plugins.pruner import Pruner
from chancy.plugins.recovery import Recovery

from benchmarks.peers import chancy_job
from benchmarks.peers.program import ENQUEUED_AT_ONCE, Drain, Event, http_client, run


def _app(database: str) -> Chancy:
    log = logging.getLogger("chancy")
    log.setLevel(logging.WARNING)
    return Chancy(database, plugins=[Leadership(), Pruner(), Recovery()], no_default_plugins=True, log=log)


async def fill(database: str, events: list[Event]) -> None:
    async with _app(database) as chancy:
        await chancy.migrate()
        jobs = [
            Job.from_func(chancy_job.send, kwargs={"key": event.key, "body": event.body.decode()})
            for event in events
        ]
        async for _ in chancy.push_many(jobs, batch_size=ENQUEUED_AT_ONCE):
            pass


async def drain(asked: Drain) -> None:
    concurrency = int(asked.setting)
    async with http_client(asked, connections=concurrency) as post, _app(asked.database) as chancy:
        chancy_job.use(post)
        await chancy.declare(
            Queue("default", executor=Chancy.Executor.Async, concurrency=concurrency, eager_polling=True),
            upsert=True,
        )
        worker = Worker(chancy, register_signal_handlers=False)
        worker.send_outgoing_interval = 0.1
        async with worker:
            await worker.wait_for_shutdown()


if __name__ == "__main__":
    run(fill=fill, drain=drain)
