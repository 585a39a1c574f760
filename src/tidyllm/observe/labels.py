"""The values of one metric label, bounded in number. It knows nothing of metrics or of what the values mean.

Callers of a gateway choose names, and every new value of a label is a new time series that is kept for ever.
"""

from __future__ import annotations

import logging
import threading

__all__ = ["OTHER", "Labels"]

OTHER = "other"
"""What every value beyond the cap is called."""

LONGEST = 120
"""Characters of a value that are kept: no name of a model is longer, and a caller may send a page."""


class Labels:
    """The first `cap` values given keep their name, all later ones become `other`; told to the log once.

    200: more models than anybody configures by hand, and with the other labels of a histogram still few enough series
    (some ten thousand) for a Prometheus server.
    """

    def __init__(self, name: str, *, cap: int = 200) -> None:
        self.name = name
        self.cap = cap
        self._known: dict[str, str] = {}
        self._full = False
        self._lock = threading.Lock()

    def __call__(self, value: str) -> str:
        """The label for `value`, which takes a place if there is one."""
        known = self._known.get(value)
        return self._take(value) if known is None else known

    def known(self, value: str) -> str:
        """The label for `value` if it has a place already, else `other`."""
        return self._known.get(value, OTHER)

    def _take(self, value: str) -> str:
        with self._lock:
            if len(self._known) < self.cap:
                return self._known.setdefault(value, valid(value))
            if not self._full:
                self._full = True
                logging.getLogger("tidyllm.observe").warning(
                    "the metric label %r has %d values; further ones, such as %r, are counted as %r",
                    self.name,
                    self.cap,
                    valid(value),
                    OTHER,
                )
        return OTHER


def valid(value: str) -> str:
    """`value` short enough and fit for UTF-8: one lone surrogate would make the whole page of metrics unreadable."""
    return value[:LONGEST].encode("utf-8", "replace").decode()
