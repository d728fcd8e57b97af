"""The state all parts of the stand-in share."""

from __future__ import annotations

import asyncio

from sandbox.omnisend.brands import Brands
from sandbox.omnisend.duplicates import Ledger
from sandbox.omnisend.faults import Faults
from sandbox.omnisend.journal import Journal
from sandbox.omnisend.model import Settings


class World:
    """Brands, what came in, what goes wrong, and the settings of it all."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.brands = Brands()
        self.ledger = Ledger()
        self.faults = Faults()
        self.journal = Journal(settings.max_stored, settings.window_s)
        self.released = asyncio.Event()
        """Set to end the requests that hang, and replaced by a new one."""

    def change(self, settings: Settings) -> None:
        self.settings = settings
        self.journal.keep(settings.max_stored, settings.window_s)

    def release(self) -> None:
        """Reset the connections of all requests that hang at this moment."""
        self.released.set()
        self.released = asyncio.Event()

    def reset(self, *, brands: bool = False) -> None:
        """Forget what came in, the faults and the rate windows; the brands only if asked to."""
        self.release()
        self.faults.clear()
        self.ledger = Ledger()
        self.journal.clear(self.settings.max_stored, self.settings.window_s)
        if brands:
            self.brands = Brands()
        self.brands.forget_requests()
