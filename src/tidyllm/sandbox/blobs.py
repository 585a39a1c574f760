"""Contents by their hash, in the state folder. It knows bytes only."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from tidyllm.errors import WorkspaceError


class Blobs:
    """A folder of files named by the SHA-256 of what they hold; each content is kept once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)

    def put(self, data: bytes, *, safe: bool = True) -> str:
        """Keep `data` and give its hash. `safe` waits for the disk; snapshots do not, as only a power cut needs it."""
        sha = hashlib.sha256(data).hexdigest()
        self.put_as(sha, data, safe=safe)
        return sha

    def put_as(self, sha: str, data: bytes, *, safe: bool) -> None:
        """Keep `data`, whose hash is known already."""
        place = self._place(sha)
        if place.exists():
            return
        place.parent.mkdir(mode=0o700, exist_ok=True)
        beside = place.with_name(f"{place.name}.{secrets.token_hex(4)}")
        with beside.open("xb") as stream:
            stream.write(data)
            if safe:
                stream.flush()
                os.fsync(stream.fileno())
        beside.rename(place)

    def has(self, sha: str) -> bool:
        """Whether that content is kept."""
        return self._place(sha).exists()

    def get(self, sha: str) -> bytes:
        """The content; `WorkspaceError` if it is gone or no longer what it was."""
        try:
            data = self._place(sha).read_bytes()
        except FileNotFoundError:
            raise WorkspaceError(f"the kept content {sha[:12]} is gone from {self._folder}") from None
        if hashlib.sha256(data).hexdigest() != sha:
            raise WorkspaceError(f"the kept content {sha[:12]} in {self._folder} is damaged")
        return data

    def _place(self, sha: str) -> Path:
        return self._folder / sha[:2] / sha[2:]
