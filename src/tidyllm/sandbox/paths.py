"""Where a path leads, and the one door to what lies there: no call of this file leaves the root.

A path is resolved first (links, `..`), then walked again from the root's own descriptor without following any link:
if someone exchanges a folder for a link between the two, the walk fails instead of leaving. It knows no journal.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import unicodedata
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from tidyllm.errors import EditConflict, OutsideWorkspace, WorkspaceError
from tidyllm.sandbox.records import State

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LONGEST = 3_000  # bytes below the root: with that, and a name beside, no path passes the kernel's 4,096
_NAME = 255
_CONTROL = frozenset(map(chr, [*range(32), 127]))

_BESIDE = ".tidyllm-beside-"

IGNORED = frozenset({".git", ".hg", ".svn", ".venv", "__pycache__", "node_modules"})
"""Folders that no snapshot looks into: histories, installed packages and caches. They are not restored by undo."""
HISTORIES = frozenset({".git", ".hg", ".svn", ".jj"})


def plain(name: str) -> str:
    """A name as file systems that fold case and drop what is invisible would compare it."""
    text = "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    return text.casefold().rstrip(" .")


def is_history(name: str) -> bool:
    """Whether a name is `.git` or its like, under whatever spelling."""
    return plain(name) in HISTORIES or plain(name) == "git~1"


class Tree:
    """The files below one root. Paths given to methods other than `locate` are relative, resolved, with `/`."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.odd: list[str] = []
        self.temporary: list[str] = []
        try:
            self._fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise WorkspaceError(f"the workspace {root} cannot be opened: {error.strerror}") from error

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def locate(self, path: str | Path, *, follow: bool = True) -> str:
        """The resolved relative path (`.` is the root). `follow=False` leaves a link at the end as it is.

        `OutsideWorkspace` for whatever leads out, names `.git` or its like, or cannot be a path at all.
        """
        text = os.fspath(path)
        if not text or "\0" in text or len(text) > 4096:
            raise OutsideWorkspace(f"{text[:80]!r} is no path; give one below {self.root}")
        if "\\" in text or any(c in _CONTROL for c in text) or not is_unicode(text):
            raise OutsideWorkspace(
                f"{text!r} holds characters that no path here may have; separate folders with /"
            )
        if text.startswith("~"):
            raise OutsideWorkspace(f"{text!r} would be somebody's home; paths here are below {self.root}")
        whole = os.path.join(self.root, text)  # noqa: PTH118 - keeps a trailing `/.` and `..` as they were given
        if follow:
            real = os.path.realpath(whole)
        else:
            head, tail = os.path.split(whole.rstrip("/"))
            here = tail in {"", ".", ".."}
            real = os.path.realpath(whole) if here else f"{os.path.realpath(head).rstrip('/')}/{tail}"
        if real != str(self.root) and not real.startswith(str(self.root).rstrip("/") + "/"):
            raise OutsideWorkspace(f"{text!r} leads to a place outside the workspace {self.root}")
        rel = os.path.relpath(real, self.root)
        if len(os.fsencode(rel)) > _LONGEST or any(len(os.fsencode(name)) > _NAME for name in rel.split("/")):
            raise OutsideWorkspace(
                f"{text[:80]!r}… is too long for a path; give each name at most {_NAME} bytes"
            )
        for name in (*rel.split("/"), *text.split("/")):
            if name.startswith(_BESIDE):
                raise OutsideWorkspace(f"{text!r}: names that begin with {_BESIDE} are the workspace's own")
            if is_history(name):
                raise OutsideWorkspace(
                    f"{text!r} leads into {name}, which belongs to version control, not to the work"
                )
        return rel

    @contextmanager
    def folder(self, rel: str) -> Generator[int]:
        """A descriptor of the folder `rel`, reached without following a link."""
        here = os.dup(self._fd)
        try:
            for name in rel.split("/"):
                if name in {"", "."}:
                    continue
                try:
                    below = os.open(name, _FOLDER, dir_fd=here)
                except OSError as error:
                    if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                        raise EditConflict(
                            f"{rel!r}: {name!r} is no folder (any more); look again"
                        ) from error
                    raise
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)

    def about(self, rel: str) -> os.stat_result | None:
        """What the kernel says of the path itself; `None` where nothing is."""
        head, name = split(rel)
        try:
            with self.folder(head) as folder:
                return os.stat(name, dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError, EditConflict):
            return None

    def read(self, rel: str, most: int) -> tuple[bytes, os.stat_result]:
        """A regular file's content. `WorkspaceError` for what is none, or has more than `most` bytes."""
        head, name = split(rel)
        try:
            with self.folder(head) as folder:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
                file = os.open(name, flags, dir_fd=folder)
        except FileNotFoundError as error:
            raise WorkspaceError(f"{rel}: there is no such file") from error
        except OSError as error:
            raise WorkspaceError(f"{rel}: {error.strerror}") from error
        try:
            about = os.fstat(file)
            if stat.S_ISDIR(about.st_mode):
                raise WorkspaceError(f"{rel} is a folder, not a file")
            if not stat.S_ISREG(about.st_mode):
                raise WorkspaceError(f"{rel} is a special file, which is never read or written here")
            if about.st_size > most:
                raise WorkspaceError(f"{rel} has {about.st_size} bytes; the limit is {most}")
            with os.fdopen(file, "rb", closefd=False) as stream:
                data = stream.read(min(most, about.st_size + 65536) + 1)
        finally:
            os.close(file)
        if len(data) > most:
            raise WorkspaceError(f"{rel} has more than {most} bytes, which is the limit")
        return data, about

    def link_target(self, rel: str) -> str:
        """Where the link at `rel` points."""
        head, name = split(rel)
        with self.folder(head) as folder:
            return os.readlink(name, dir_fd=folder)

    def put_file(self, rel: str, data: bytes, mode: int) -> None:
        """Write beside, then exchange: whoever looks sees the old or the new content, also after a crash."""
        head, name = split(rel)
        with self.folder(head) as folder:
            beside = temporary(secrets.token_hex(6))
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with os.fdopen(os.open(beside, flags, 0o600, dir_fd=folder), "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fchmod(stream.fileno(), mode)
                    os.fsync(stream.fileno())
                os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                _forget(beside, folder)
                raise
            os.fsync(folder)

    def put_link(self, rel: str, target: str) -> None:
        """A symbolic link, exchanged at once like a file."""
        head, name = split(rel)
        with self.folder(head) as folder:
            beside = temporary(secrets.token_hex(6))
            os.symlink(target, beside, dir_fd=folder)
            os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)

    def put_folder(self, rel: str, mode: int) -> None:
        """A folder, made or given another mode."""
        head, name = split(rel)
        with self.folder(head) as folder:
            try:
                os.mkdir(name, 0o700, dir_fd=folder)
            except FileExistsError:
                pass
        with self.folder(rel) as made:
            os.fchmod(made, mode)

    def remove(self, rel: str, state: State) -> None:
        """Take away what lies at `rel`: a folder only if it is empty, an ignored one with all it holds."""
        head, name = split(rel)
        with self.folder(head) as folder:
            if state.kind == "folder":
                os.rmdir(name, dir_fd=folder)
            elif state.kind == "ignored":
                _remove_all(name, folder)
            else:
                os.unlink(name, dir_fd=folder)
            os.fsync(folder)

    def clean(self, rel: str) -> None:
        """Remove what a crash may have left beside files of the folder `rel`."""
        try:
            with self.folder(rel) as folder:
                for name in os.listdir(folder):  # noqa: PTH208 - pathlib lists no descriptor
                    if name.startswith(_BESIDE):
                        _forget(name, folder)
        except (OSError, EditConflict):
            return

    def walk(self) -> Iterator[tuple[str, os.stat_result, str]]:
        """Everything below the root, folders before what they hold: path, stat, and a link's target.

        What has a name that is no text, or lies deeper than a path may say, is left out; `odd` names it afterwards.
        """
        self.odd.clear()
        self.temporary.clear()
        stack: list[str] = ["."]
        while stack:
            rel = stack.pop()
            try:
                with self.folder(rel) as folder:
                    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - as above
                        try:
                            about = os.stat(name, dir_fd=folder, follow_symlinks=False)
                            link = os.readlink(name, dir_fd=folder) if stat.S_ISLNK(about.st_mode) else ""
                        except FileNotFoundError:
                            continue
                        path = name if rel == "." else f"{rel}/{name}"
                        if is_temporary(path):
                            self.temporary.append(path)
                        if not is_unicode(name) or len(os.fsencode(path)) > _LONGEST:
                            self.odd.append(path)
                            continue
                        yield path, about, link
                        if stat.S_ISDIR(about.st_mode) and name not in IGNORED:
                            stack.append(path)
            except (FileNotFoundError, EditConflict):
                continue
            except PermissionError as error:
                raise WorkspaceError(
                    f"{rel} cannot be read: {error.strerror}; nothing can be kept of it"
                ) from error


def temporary(name: str) -> str:
    """The name of a file that is about to take another's place."""
    return f"{_BESIDE}{name}"


def is_temporary(rel: str) -> bool:
    """Whether a path is such a file."""
    return split(rel)[1].startswith(_BESIDE)


def split(rel: str) -> tuple[str, str]:
    """A relative path's folder and name."""
    head, _, name = rel.rpartition("/")
    return head or ".", name


def is_unicode(text: str) -> bool:
    """Whether a text can be written down at all."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _forget(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        return


def _remove_all(name: str, folder: int) -> None:
    import shutil

    about = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISDIR(about.st_mode):
        shutil.rmtree(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)
