"""The process that starts a command: limits, namespaces, Landlock, seccomp, and a guard that ends what is left over.

It runs on the standard library alone, in a process of its own, so that a program with threads and an event loop never
has to fork itself. It knows nothing of the workspace's journal or of what is allowed: it does what its order says.
"""

from __future__ import annotations

__all__: list[str] = []
