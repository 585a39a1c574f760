"""What a place for kept answers must be able to do. It knows keys and bytes, not what they mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

__all__ = ["Backend", "Lease"]


class Lease(Protocol):
    """The right to make the one call for a key, among all workers."""

    async def release(self) -> None:
        """Give it back. It never raises: a lease that is not given back ends by itself."""
        ...


class Backend(ABC):
    """Keeps bytes by key (32 bytes) until a moment, within bounds of its own.

    Its methods may raise: the cache then goes on without it, counts that, and logs it.
    """

    def peek(self, key: bytes) -> bytes | None:
        """What is kept, where that can be told without waiting; None says nothing."""
        return None

    @abstractmethod
    async def get(self, key: bytes) -> bytes | None:
        """What is kept under `key`; None when there is nothing. It may have expired: the entry itself knows."""

    @abstractmethod
    async def put(self, key: bytes, value: bytes, *, expires_at: float) -> None:
        """Keep `value` up to `expires_at` (seconds since 1970), in place of what was there."""

    @abstractmethod
    async def delete(self, key: bytes) -> None:
        """Forget what is kept under `key`, if anything is."""

    @abstractmethod
    async def clear(self) -> None:
        """Forget everything."""

    async def lead(self, key: bytes) -> Lease | bytes | None:
        """Wait until this worker may make the call for `key` (a lease), or another one has kept the answer (bytes).

        None: this store knows of no other workers, so that each makes its own call.
        """
        return None
