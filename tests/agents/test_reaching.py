"""Code under test that makes its tests pass from inside: found by what it names."""

from __future__ import annotations

import pytest

from tidyllm.agents.reaching import reaches
from tidyllm.agents.testing_rules import doubts

FIRST = "3 failed in 0.10s\n"


@pytest.mark.parametrize(
    "source",
    [
        "import _pytest.python\n_pytest.python.Function.runtest = lambda self: None\n",
        "import sys\nsys.modules['_pytest.python'].Function.runtest = None\n",
        "from importlib import import_module as f\nf('pytest').fail = print\n",
        "import os\nos._exit(0)\n",
        "from os import _exit\n_exit(0)\n",
    ],
)
def test_parts_of_pytest_and_ends_of_the_process_are_found(source: str) -> None:
    assert reaches(source.encode())


def test_words_in_docstrings_and_comments_are_nobodys_reach() -> None:
    source = '"""Checked with pytest."""\n\n\ndef f():\n    """As pytest says."""\n    return 1  # pytest\n'
    assert reaches(source.encode()) == set()
    assert reaches(b"def f(:") == reaches(b"\x00") == set()


def test_new_tests_use_pytest_but_not_what_it_is_made_of() -> None:
    assert reaches(b"import pytest\n\n@pytest.mark.slow\ndef test_a(): pass\n", test=True) == set()
    assert reaches(b"import pytest\npytest.Function.runtest = print\n", test=True) == {"runtest"}


def test_a_summary_with_failures_is_not_believed_whatever_the_exit_code() -> None:
    assert "2 that did not pass" in doubts(["pytest"], FIRST, "..FF [100%]\n2 failed, 3 passed in 0.02s\n")
    assert doubts(["pytest"], FIRST, "... [100%]\n3 passed in 0.02s\n") == ""
