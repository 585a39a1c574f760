"""The plan for a tree: what would become of each file. It reads files and writes nothing.

Files are converted apart, in two processes. Then what they say about each other is compared: names that one passes on
to another, and names that had to stay in one and therefore must stay in the other. Those files are converted again.
"""

from __future__ import annotations

import difflib
import multiprocessing
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tidyllm.migrate.discover import files, root_of
from tidyllm.migrate.findings import FileResult, Finding
from tidyllm.migrate.index import foreign_names, imported_names, module_names, package_of
from tidyllm.migrate.one_file import converted, relevant
from tidyllm.migrate.resolve import Facts
from tidyllm.migrate.rules import PATTERNS, Rules, merged
from tidyllm.migrate.source import Source

__all__ = ["Plan", "plan"]

_ENOUGH_FOR_PROCESSES = 24
_ROUNDS = 6


@dataclass(frozen=True)
class Plan:
    """What would become of the files below `root`."""

    root: Path
    results: tuple[FileResult, ...]
    patterns: tuple[str, ...] = PATTERNS
    defining: tuple[str, ...] = field(default=())
    """Files that define legacy classes themselves: they are left as they are."""

    @property
    def changed(self) -> tuple[FileResult, ...]:
        return tuple(one for one in self.results if one.after is not None)

    @property
    def unchanged(self) -> tuple[FileResult, ...]:
        return tuple(one for one in self.results if one.after is None and not one.problem)

    @property
    def problems(self) -> tuple[FileResult, ...]:
        return tuple(one for one in self.results if one.problem)

    @property
    def could_not(self) -> tuple[tuple[str, Finding], ...]:
        return tuple(
            (one.path, finding)
            for one in self.results
            for finding in one.findings
            if finding.kind == "could_not"
        )

    @property
    def converted(self) -> tuple[tuple[str, Finding], ...]:
        return tuple(
            (one.path, finding)
            for one in self.results
            for finding in one.findings
            if finding.kind == "converted"
        )

    def diff(self, result: FileResult) -> list[str]:
        """The lines of a unified diff of one file."""
        if result.after is None:
            return []
        before = _lines(Source.decode(result.before).text)
        after = _lines(Source.decode(result.after).text)
        lines = difflib.unified_diff(before, after, f"a/{result.path}", f"b/{result.path}")
        return [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]


def _lines(text: str) -> list[str]:
    """Lines as Python and git count them: a form feed ends none."""
    return [line for line in re.split(r"(?<=\n)", text) if line]


def plan(
    path: Path | str,
    patterns: Sequence[str] = (),
    rules: Path | None = None,
    *,
    annotate: bool = False,
    processes: int = 2,
    progress: Callable[[int, int], None] | None = None,
    only_legacy: bool = False,
) -> Plan:
    """Read the tree and convert it in memory.

    - `patterns`: default: all of them.
    - `rules`: a team's own names (see `rules`).
    - `annotate`: put a comment above each use that could not be converted.
    - `only_legacy`: convert only uses of `tidyllm.legacy`.
    - `progress`: told how many of how many files are done.

    :raises MigrateError: the path is missing, or the rules are not usable.
    """
    path = Path(path)
    root = root_of(path)
    library = merged(patterns or PATTERNS, rules)
    if only_legacy:
        library = tuple(_legacy_only(one) for one in library)
    found = files(path)
    contents = _candidates(found, library)
    foreign, defining = foreign_names(found, root, library, contents)
    work = _Work(root, library, annotate, foreign, processes)
    results = work.run(list(contents), {}, (), progress=progress, total=len(found))
    seen: dict[Path, Facts] = {}
    imports: dict[Path, frozenset[str]] = {}
    reshaped: set[str] = set()
    for _ in range(_ROUNDS):
        again, facts, extra = _links(
            root, found, results, library, seen=seen, imports=imports, reshaped=reshaped
        )
        if not again:
            break
        results |= work.run(again, facts, extra, progress=None, total=len(again))
    by_name = {_name(one, root): results.get(one) for one in found}
    whole = tuple(result or FileResult(name) for name, result in by_name.items())
    return Plan(
        root,
        whole,
        tuple(one.pattern for one in library),
        tuple(sorted(_name(one, root) for one in defining)),
    )


def _legacy_only(rules: Rules) -> Rules:
    from dataclasses import replace

    modules = tuple(one for one in rules.modules if one.startswith("tidyllm.legacy"))
    return replace(rules, modules=modules, files=(), deep=rules.deep)


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _candidates(found: Sequence[Path], library: Sequence[Rules]) -> dict[Path, bytes]:
    """The files that name something relevant, or cannot be read at all."""
    kept: dict[Path, bytes] = {}
    for path in found:
        try:
            data = path.read_bytes()
        except OSError:
            kept[path] = b""
            continue
        if relevant(data, library):
            kept[path] = data
    return kept


@dataclass(frozen=True)
class _Work:
    """What is the same for all files."""

    root: Path
    library: tuple[Rules, ...]
    annotate: bool
    foreign: frozenset[str]
    processes: int

    def run(
        self,
        paths: Sequence[Path],
        facts: dict[Path, Facts],
        extra: Sequence[bytes],
        *,
        progress: Callable[[int, int], None] | None,
        total: int,
    ) -> dict[Path, FileResult]:
        jobs = [
            (
                path,
                _name(path, self.root),
                self.library,
                self._facts(path, facts),
                tuple(extra),
                self.annotate,
            )
            for path in paths
        ]
        skipped = total - len(jobs)
        done: dict[Path, FileResult] = {}
        if self.processes < 2 or len(jobs) < _ENOUGH_FOR_PROCESSES:
            for job in jobs:
                done[job[0]] = _job(job)
                if progress is not None:
                    progress(skipped + len(done), total)
            return done
        # Spawned, not forked: whoever calls may have threads.
        with ProcessPoolExecutor(self.processes, multiprocessing.get_context("spawn")) as pool:
            for job, result in zip(jobs, pool.map(_job, jobs, chunksize=8), strict=True):
                done[job[0]] = result
                if progress is not None:
                    progress(skipped + len(done), total)
        return done

    def _facts(self, path: Path, facts: dict[Path, Facts]) -> Facts:
        known = facts.get(path) or Facts()
        return Facts(
            package_of(path, self.root),
            path.name == "__init__.py",
            known.exports,
            self.foreign,
            known.tainted,
            known.keep,
            known.renamed,
        )


_Job = tuple[Path, str, tuple[Rules, ...], Facts, tuple[bytes, ...], bool]


def _job(job: _Job) -> FileResult:
    path, name, library, facts, extra, annotate = job
    return converted(path, name, library, facts, extra, annotate=annotate)


def _links(
    root: Path,
    found: Sequence[Path],
    results: dict[Path, FileResult],
    library: Sequence[Rules],
    *,
    seen: dict[Path, Facts],
    imports: dict[Path, frozenset[str]],
    reshaped: set[str],
) -> tuple[list[Path], dict[Path, Facts], list[bytes]]:
    """The files that have to be converted again, and what they need to know.

    Kept from round to round: `seen` (what they knew before), `imports` (what each file imports), and `reshaped` (names
    that no other file may use).
    """
    exports: dict[str, str] = {}
    tainted: set[str] = set()
    kept: set[str] = set()
    renamed: dict[str, str] = {}
    for path, result in results.items():
        for module in module_names(path, root):
            if not any(rules.module(module) for rules in library):
                exports.update((f"{module}.{name}", origin) for name, origin in result.exports)
            renamed.update((f"{module}.{old}", f"{module}.{new}") for old, new in result.renamed)
            tainted.update(f"{module}.{name}" for name in result.tainted)
            reshaped.update(f"{module}.{name}" for name in result.reshaped)
        kept |= result.kept
    known = exports.keys() | tainted | reshaped
    if not known:
        return [], {}, []
    names = sorted({name.rpartition(".")[2].encode() for name in known})
    modules = frozenset(
        part.encode() for name in known for part in (name.rpartition(".")[0], name.partition(".")[0]) if part
    )
    again: list[Path] = []
    facts: dict[Path, Facts] = {}
    for path in found:
        if not imports.get(path):
            imports[path] = imported_names(path, root, names, modules)
    wanted = (kept & exports.keys()) | (reshaped & frozenset().union(*imports.values()))
    for path in found:
        mine = imports[path]
        here = [f"{module}." for module in module_names(path, root)]
        new = Facts(
            exports={name: exports[name] for name in sorted(mine & exports.keys())},
            tainted=frozenset(mine & tainted),
            keep=frozenset(name.rpartition(".")[2] for name in wanted if any(map(name.startswith, here))),
            renamed={name: renamed[name] for name in sorted(mine & renamed.keys())},
        )
        if seen.get(path, Facts()) != new:
            seen[path] = facts[path] = new
            again.append(path)
    return again, facts, names
