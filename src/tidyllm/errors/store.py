"""The database or Redis said no, or nothing."""

from __future__ import annotations

from tidyllm.errors.base import TidyllmError

__all__ = ["StoreDown", "StoreError"]


class StoreError(TidyllmError):
    """The database cannot be used as it is (corrupt, of a newer version, not ours), or refused what it was told.

    The cause is in `__cause__`, if a driver said no. Neither holds a password or the values that were to be written.
    """


class StoreDown(StoreError):
    """The database or Redis cannot be reached now, or has no room.

    What was asked for was not done; where the connection broke before the answer, the message says that nobody knows.
    """

    retryable = True
    default_hint = "See whether its server runs and its disk has room, then try again."
