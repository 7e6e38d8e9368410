"""Text from outside, as Markdown is given it."""

import re

import pytest

from synchist.ui.wording import plain


@pytest.mark.parametrize(
    "text",
    [
        "**bold**",
        "<img src=x onerror=alert(1)>",
        "[x](http://x.example)",
        ":red[no] :material/home:",
        "$a$ `c` ~d~ #e",
        "- 1. | x",
    ],
)
def test_every_mark_is_escaped(text: str) -> None:
    assert not re.search(r"(?<!\\)[!-/:-@\[-`{-~]", re.sub(r"\\[!-/:-@\[-`{-~]", "", plain(text)))
    assert plain(text).replace("\\", "") == text


def test_lines_become_one() -> None:
    assert plain("a\n\n# b\tc") == r"a \# b c"
    assert plain(None) == ""
