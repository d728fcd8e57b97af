"""``python -m worker`` with a lease shorter than its settings allow: no test can sit out a minute for each kill."""

import asyncio

from soldt_outbox.settings import Settings
from tests.support.worker import SHORT
from worker import app
from worker.telemetry import configure_logging

if __name__ == "__main__":
    settings = Settings.load()
    configure_logging(settings)
    asyncio.run(app.run(settings, SHORT))
