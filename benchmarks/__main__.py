"""`python -m benchmarks [NAME …] [--write]`: run them and print the tables; `--write` puts them into the docs.

Names: those of `NAMES` below. Default: all.
"""

from __future__ import annotations

import platform
import re
import sys
from datetime import UTC, datetime
from importlib import import_module

from benchmarks.peers import ROOT
from benchmarks.table import Table

NAMES = (
    "steps", "in_flight", "gateway", "everything", "streams", "startup", "routing", "prefix_cache", "growth",
    "ledger_rows", "durable", "agents", "dspy_engine", "migrate",
)  # fmt: skip
DOCS = ROOT / "docs"


def main() -> int:
    """Exit status 2 for an unknown name."""
    words = sys.argv[1:]
    write = "--write" in words
    names = [word for word in words if word != "--write"] or list(NAMES)
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in names:
        tables: list[Table] = import_module(f"benchmarks.{name}").run()
        text = "\n".join(table.markdown() for table in tables)
        print(text, flush=True)
        if write:
            _write(name, text)
    return 0


def _write(name: str, text: str) -> None:
    begin, end = f"<!-- figures: {name} -->", f"<!-- end: {name} -->"
    page = next(page for page in sorted(DOCS.glob("*.md")) if begin in page.read_text(encoding="utf-8"))
    where = f"{datetime.now(UTC):%Y-%m-%d}, Python {_python()}, {platform.machine()}"
    block = f"{begin}\n{text}\n*Measured {where}.*\n{end}"
    text = page.read_text(encoding="utf-8")
    page.write_text(re.sub(f"{begin}.*?{end}", lambda _: block, text, flags=re.DOTALL), encoding="utf-8")


def _python() -> str:
    """Version and origin: builds of one version differ in speed."""
    version = platform.python_version()
    try:
        system = platform.freedesktop_os_release()["NAME"]
    except (OSError, KeyError):
        return version
    return f"{version} of {system}" if sys.base_prefix == "/usr" else f"{version}, not the system's"


sys.exit(main())
