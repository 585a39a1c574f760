"""Diffs: what was made from two texts leads from the first to the second; what does not fit is refused."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidyllm.errors import EditConflict
from tidyllm.sandbox.diff import apply, parse

LINES = st.lists(
    st.sampled_from(
        ["", "a", "b", "  c", "-x", "+y", "@@", "--- a/f", "+++ b", "\\ n", "ü\u2028z", "d\x0ce"]
    ),
    max_size=25,
)
TEXTS = st.tuples(LINES, st.sampled_from(["", "\n"])).map(lambda pair: "\n".join(pair[0]) + pair[1])


def lines_of(text: str) -> list[str]:
    """Lines with their ends, broken at line feeds only."""
    pieces = text.split("\n")
    return [line + "\n" for line in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


def made(old: str, new: str, context: int = 3) -> str:
    """The unified diff between two texts, with git's mark for a last line without end."""
    found = difflib.unified_diff(lines_of(old), lines_of(new), "a/f.txt", "b/f.txt", n=context)
    return "".join(
        line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in found
    )


@given(TEXTS, TEXTS, st.integers(0, 4))
def test_a_diff_leads_from_the_old_text_to_the_new(old: str, new: str, context: int) -> None:
    if old == new:
        return
    (patch,) = parse(made(old, new, context))
    assert (patch.old, patch.new) == ("f.txt", "f.txt")
    assert apply("f.txt", old, patch.hunks) == new


@given(TEXTS, TEXTS, TEXTS)
def test_a_diff_against_another_text_is_refused_or_replaces_exactly_what_it_names(
    old: str, new: str, other: str
) -> None:
    if old == new:
        return
    (patch,) = parse(made(old, new))
    try:
        result = apply("f.txt", other, patch.hunks)
    except EditConflict:
        return
    for hunk in patch.hunks:
        assert "".join(hunk.old) in other
        assert "".join(hunk.new) in result


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except EditConflict:
        pass


def test_wrong_line_numbers_are_forgiven_where_only_one_place_fits() -> None:
    (patch,) = parse("--- a/f\n+++ b/f\n@@ -40,2 +40,2 @@\n b\n-c\n+C\n")
    assert apply("f", "a\nb\nc\n", patch.hunks) == "a\nb\nC\n"
    with pytest.raises(EditConflict, match="2 other places"):
        apply("f", "b\nc\nb\nc\n", patch.hunks)


GIT = """diff --git a/old.py b/new.py
similarity index 90%
rename from old.py
rename to new.py
index 1..2 100644
--- a/old.py
+++ b/new.py
@@ -1 +1 @@ def f():
-a
+b
diff --git a/gone.py b/gone.py
deleted file mode 100644
index 1..0
--- a/gone.py
+++ /dev/null
@@ -1 +0,0 @@
-x
diff --git a/empty.txt b/empty.txt
new file mode 100755
index 0..0
"""


def test_renames_deletions_and_new_files_of_git_are_read() -> None:
    renamed, gone, empty = parse(GIT)
    assert (renamed.old, renamed.new, len(renamed.hunks)) == ("old.py", "new.py", 1)
    assert (gone.old, gone.new) == ("gone.py", None)
    assert (empty.old, empty.new, empty.mode) == (None, "empty.txt", 0o755)


@pytest.mark.parametrize(
    "text",
    [
        "no diff at all",
        "@@ -1 +1 @@\n-a\n+b\n",
        "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n-a\n+b\n",
        "--- /dev/null\n+++ /dev/null\n@@ -1 +1 @@\n-a\n+b\n",
        "diff --git a/x b/x\nnew file mode 120000\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+/etc/passwd\n",
        "diff --git a/x b/x\nGIT binary patch\n",
        '--- "a/x"\n+++ "b/x"\n@@ -1 +1 @@\n-a\n+b\n',
    ],
)
def test_what_is_no_clean_diff_is_refused(text: str) -> None:
    with pytest.raises(EditConflict):
        parse(text)
