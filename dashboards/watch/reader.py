"""One thread that reads the store for everyone who has a page open, so that no page waits for the disk of another."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from .store import Reading, Store
from .views import costs, periods

T = TypeVar("T")


class Reader:
    """Reads of a store, in turn."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._thread = ThreadPoolExecutor(1, "store")

    async def read(self, view: Callable[[Reading], T]) -> tuple[T, float]:
        """What a view says now, and how many seconds that took. StoreError as Store.reading."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, view)

    def _read(self, view: Callable[[Reading], T]) -> tuple[T, float]:
        begun_s = time.monotonic()
        with self.store.reading() as at:
            return view(at), time.monotonic() - begun_s

    async def warm(self) -> None:
        """Add up the last week step by step, between the reads of others: the first look at it need not wait."""
        over, _ = await self.read(lambda at: periods.period(at, "week"))
        for start_ns in over.starts():
            step = periods.Period(over.word, start_ns, start_ns, over.step_ns)
            await self.read(partial(costs.byte_steps, over=step))
            await self.read(partial(costs.energy_steps, over=step))

    def close(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
