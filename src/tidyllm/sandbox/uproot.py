"""Removing a folder whatever a program has made of it: any depth, any names, locked or not. It knows no journal."""

from __future__ import annotations

import os
import secrets
import stat

__all__ = ["uproot"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def uproot(parent: int, name: str) -> None:
    """Remove `name` from the folder that `parent` is a descriptor of. What lies deep is lifted up first: no path gets
    too long for the kernel, and nothing recurses.

    :raises OSError: something cannot be removed.
    """
    waiting = [name]
    while waiting:
        one = waiting.pop()
        about = os.stat(one, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISDIR(about.st_mode):
            os.unlink(one, dir_fd=parent)
            continue
        if about.st_mode & 0o700 != 0o700:
            os.chmod(one, 0o700, dir_fd=parent)
        folder = os.open(one, _FOLDER, dir_fd=parent)
        try:
            for below in os.listdir(folder):  # noqa: PTH208 - by its descriptor
                inner = os.stat(below, dir_fd=folder, follow_symlinks=False)
                if not stat.S_ISDIR(inner.st_mode):
                    os.unlink(below, dir_fd=folder)
                    continue
                if inner.st_mode & 0o700 != 0o700:
                    os.chmod(below, 0o700, dir_fd=folder)
                lifted = f".tidyllm-beside-{secrets.token_hex(8)}"
                os.rename(below, lifted, src_dir_fd=folder, dst_dir_fd=parent)
                waiting.append(lifted)
        finally:
            os.close(folder)
        os.rmdir(one, dir_fd=parent)
