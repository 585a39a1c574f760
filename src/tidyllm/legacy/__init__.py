"""Old names, for the time of a migration: each warns once where it is used, says what to run, and works.

They are thin: what they do is done by `tidyllm.dspy` and the parts below it. `tidyllm migrate cleanup` removes their
last uses. New code uses none of them.
"""

from __future__ import annotations

__all__: list[str] = []
