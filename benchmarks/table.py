"""Rows of figures, printed and kept. It knows columns, not what was measured."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Table"]


@dataclass
class Table:
    """One table of the report. `rows` hold text; the first column is what was measured."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    notes: list[str] = field(default_factory=list[str])

    def add(self, *cells: object) -> None:
        """One row; numbers are written with three significant digits."""
        self.rows.append(tuple(_text(cell) for cell in cells))

    def markdown(self) -> str:
        """The table for the documentation."""
        lines = [f"### {self.title}", "", f"| {' | '.join(self.columns)} |"]
        lines.append(f"|{'|'.join(['---', *['---:'] * (len(self.columns) - 1)])}|")
        lines += [f"| {' | '.join(row)} |" for row in self.rows]
        if self.notes:
            lines += ["", *(f"{note}" for note in self.notes)]
        return "\n".join(lines) + "\n"


def _text(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
