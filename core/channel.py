"""A bounded, drop-oldest, counted channel between one producer side and one consumer task."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

DEFAULT_CAPACITY = 100_000


class Channel(Generic[T]):
    """Events for one sink. `put` never waits: over capacity the oldest event goes and is counted.

    One event loop only: nothing here is thread-safe.
    """

    def __init__(self, name: str, capacity: int = DEFAULT_CAPACITY) -> None:
        if capacity < 1:
            raise ValueError(f"channel {name}: capacity must be at least 1, not {capacity}")
        self.name = name
        self.capacity = capacity
        self.accepted = 0
        self.dropped = 0
        self._items: deque[T] = deque(maxlen=capacity)
        self._ready = asyncio.Event()
        self._closed = False
        self._fetch: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Add one item, dropping the oldest when full; after `close` it is dropped itself."""
        if self._closed:
            self.dropped += 1
            return
        if len(self._items) == self.capacity:
            self.dropped += 1
        self._items.append(item)
        self.accepted += 1
        self._ready.set()

    def put_many(self, items: Sequence[T]) -> None:
        """Add items in order, as `put` does each."""
        count = len(items)
        if self._closed:
            self.dropped += count
        elif count:
            over = len(self._items) + count - self.capacity
            if over > 0:
                self.dropped += over
            self._items.extend(items)
            self.accepted += count
            self._ready.set()

    def fetch_from(self, fetch: Callable[[], None]) -> None:
        """Have a producer that gathers items: `fetch` makes it put in what it has."""
        self._fetch = fetch

    def fetch(self) -> None:
        """Get everything there is until now, and not a few ms later."""
        if self._fetch is not None:
            self._fetch()

    def close(self) -> None:
        """Accept nothing more; the consumer drains what is left and then sees the end."""
        self._closed = True
        self._ready.set()

    @property
    def finished(self) -> bool:
        """Closed and drained."""
        return self._closed and not self._items

    def take(self, limit: int) -> list[T]:
        """Take up to `limit` items at once, oldest first, without waiting; may be empty."""
        items = self._items
        if len(items) <= limit:
            batch = list(items)
            items.clear()
        else:
            batch = [items.popleft() for _ in range(limit)]
        if not items and not self._closed:
            self._ready.clear()
        return batch

    async def wait(self) -> None:
        """Return when there is something to take, or the channel is closed."""
        await self._ready.wait()
