"""Models with a script: what is no reply is refused where the script is written."""

from __future__ import annotations

from typing import Any

import pytest

from tidyllm.testing import Reply, call, scripted


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([call("add", a=1)], r"not a list\. An answer with tool calls is scripted\(Reply\(tool_calls="),
        (call("add", a=1), r"not a ToolCall\. An answer with tool calls"),
        (["a", Reply(text="b")], r"not a list\. Write scripted\(\*replies\)"),
        (3, r"not a int\. Write scripted\('text'\)"),
    ],
)
def test_what_is_no_reply_is_refused_where_the_script_is_written(given: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        scripted("first", given)
