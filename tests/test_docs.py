"""The examples of the README and of every page under docs/ work. How to mark one: CONTRIBUTING.md."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.pages import PageError, blocks, run_page
from tests.shared_data import ROOT

PAGES = {
    str(path.relative_to(ROOT)): path for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
}
TEXTS = [*PAGES.values(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


# An example stays short: it need not close each client that the end of the page closes anyway.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", PAGES)
def test_the_examples_of_a_page_work(name: str, tmp_path: Path) -> None:
    run_page(PAGES[name], name, tmp_path)


def test_at_most_one_example_in_ten_is_left_out() -> None:
    examples = [block for path in PAGES.values() for block in blocks(path.read_text("utf-8")) if block.runs]
    skipped = [block for block in examples if "skip" in block.tests]
    assert len(skipped) * 10 <= len(examples), [block.tests["skip"] for block in skipped]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_within_the_project_lead_somewhere(path: Path) -> None:
    links: list[str] = LINK.findall(path.read_text("utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


# The runner itself, on small made-up pages: it must be able to fail.


def page(folder: Path, text: str) -> None:
    """Run a page made of `text`, where ~~~ stands for a fence."""
    path = folder / "page.md"
    path.write_text(text.replace("~~~", "```"))
    run_page(path, "page.md", folder)


def test_blocks_share_a_namespace_and_may_await(tmp_path: Path) -> None:
    first = "~~~python\nimport asyncio\nimport pathlib\nx = await asyncio.sleep(0, 41)\n~~~"
    page(tmp_path, f"{first}\ntext\n~~~python\npathlib.Path(str(x + 1)).touch()\n~~~\n")
    assert (tmp_path / "42").exists()


def test_a_failing_block_is_reported_with_the_line_of_the_page(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        page(tmp_path, "# Title\n\n~~~python\nx = 1\nx / 0\n~~~\n")
    assert caught.traceback[-1].lineno + 1 == 5


def test_classes_of_an_example_find_their_own_names(tmp_path: Path) -> None:
    fields = "class A(msgspec.Struct):\n    x: int\nclass B(msgspec.Struct):\n    a: 'A'"
    page(tmp_path, f"~~~python\nimport msgspec\n{fields}\nmsgspec.convert({{'a': {{'x': 1}}}}, B)\n~~~\n")


def test_a_skipped_block_and_an_unmarked_command_do_not_run(tmp_path: Path) -> None:
    page(tmp_path, "<!-- test: skip: needs a key -->\n~~~python\n1 / 0\n~~~\n\n~~~bash\nfalse\n~~~\n")


def test_a_marked_command_runs_in_the_folder_with_the_files_of_the_page(tmp_path: Path) -> None:
    written = "<!-- test: file data/a.json -->\n\n~~~json\n{}\n~~~\n"
    page(tmp_path, f"{written}<!-- test: run -->\n~~~bash\ntest -f data/a.json && python --version\n~~~\n")


def test_a_failing_command_is_reported_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(PageError, match=r"page\.md:3: bash .* ended with 3:\nwhy"):
        page(tmp_path, "<!-- test: run -->\n~~~bash\necho why; exit 3\n~~~\n")


SERVER = """<!-- test: file server.py -->
~~~python
import http.server, sys
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(sys.argv[2]), bind="127.0.0.1")
~~~
<!-- test: serve -->
~~~bash
python server.py
~~~
"""


def test_a_served_command_answers_on_the_port_of_the_page_until_its_end(tmp_path: Path) -> None:
    use = (
        "import urllib.request, pathlib\nurl = 'http://127.0.0.1:8400/'\nurllib.request.urlopen(url).close()"
    )
    page(tmp_path, f"{SERVER}\n~~~python\n{use}\npathlib.Path('url').write_text(url)\n~~~\n")
    with pytest.raises(URLError, match="refused"):
        urlopen((tmp_path / "url").read_text())


def test_a_served_command_that_ends_at_once_is_reported_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(PageError, match=r"does not listen:\n.*no-such-file"):
        page(tmp_path, "<!-- test: serve -->\n~~~bash\npython no-such-file\n~~~\n")


def test_an_example_inside_a_list_is_read_without_its_indentation() -> None:
    (block,) = blocks("- item\n\n    ```python\n    if True:\n        x = 1\n    ```\n")
    assert (block.text, block.line) == ("if True:\n    x = 1\n", 4)


def test_keys_and_the_folder_are_put_back_after_a_page(tmp_path: Path) -> None:
    before = Path.cwd()
    page(
        tmp_path,
        "~~~python\nimport os\nassert os.environ['TIDYLLM_MASTER_KEY']\nos.environ['LEFT'] = '1'\n~~~\n",
    )
    page(tmp_path, "~~~python\nimport os\nassert 'LEFT' not in os.environ\n~~~\n")
    assert Path.cwd() == before


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<!-- test: skip -->\n```python\n```\n", "'test: skip' needs a text"),
        ("<!-- test: skip: -->\n```python\n```\n", "'test: skip' needs a text"),
        ("<!-- test: file -->\n```python\n```\n", "'test: file' needs a text"),
        ("<!-- test: rnu -->\n```bash\n```\n", "'test: rnu' is unknown"),
        ("<!-- test: run -->\ntext\n```bash\n```\n", "is not followed by a block"),
    ],
)
def test_a_comment_that_would_do_nothing_is_an_error(text: str, reason: str) -> None:
    with pytest.raises(PageError, match=reason):
        blocks(text)
