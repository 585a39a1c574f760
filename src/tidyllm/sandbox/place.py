"""Where a workspace keeps its journal: outside the tree, in the user's data folder. It knows names of folders only."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from tidyllm.errors import WorkspaceError


def state_folder(root: Path, given: Path | None) -> Path:
    """The folder for the journal and kept contents of `root`; `WorkspaceError` if it would lie inside the tree."""
    if given is None:
        data = os.environ.get("XDG_DATA_HOME", "")
        base = Path(data) if data.startswith("/") else Path.home() / ".local" / "share"
        name = re.sub(r"[^A-Za-z0-9._-]", "_", root.name)[:40]
        given = (
            base / "tidyllm" / "workspaces" / f"{name}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:16]}"
        )
    place = given.expanduser().resolve()
    if place == root or place.is_relative_to(root):
        raise WorkspaceError(
            f"the state folder {place} lies inside the workspace {root}, where agents reach it; give another"
        )
    if root.is_relative_to(place):
        raise WorkspaceError(
            f"the workspace {root} lies inside its own state folder {place}; give another `state`"
        )
    return place
