"""The structure of Markdown: the same whether a text is parsed at once or section by section, cached or not."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildwidget.errors import CheckpointError
from buildwidget.reading import markdown
from buildwidget.reading.markdown import MAX_MARKDOWN, Block, BlockKind, Sections, decode_markdown

LINES = [
    *(
        "",
        "",
        "",
        "text",
        "more *text*",
        "# One",
        "## Two",
        "### Phase 3: Three",
        "#",
        "#five",
        "   ## indented",
        "    # code",
    ),
    *(
        "- item",
        "- [ ] box",
        "- [x] box",
        "  - nested",
        "1. first",
        "   goes on",
        "* star",
        "> quote",
        "> # in a quote",
    ),
    *("| a | b |", "|---|---|", "| 1 | 2 |", "```python", "~~~", "- ```text", "> ```text", "````md", "```", "````"),
    *("<!-- begins", "ends -->", "<!-- one -->", "<div>", "</div>", "<pre>", "</pre>", "<br>", "***", "---", "==="),
    *("[x]: done", "**Status:** ✅ COMPLETE", "\t# tab", "\x0c", "a\u2028# b", "\\# no heading", "# ", "#\ttab"),
]


def whole(text: str) -> list[Block]:
    """The blocks of a text that is parsed at once, by the same parser."""
    tokens = Sections()._parser.parse(text)
    return list(markdown._blocks(tokens))


texts = st.lists(st.sampled_from(LINES), max_size=30).map("\n".join)


@settings(max_examples=500)
@given(texts)
def test_sections_are_the_whole(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markdown, "_MAX_STRAYS", 0)  # a fence that opens nothing is tested below
        assert list(Sections().blocks(text)) == whole(text)


@settings(max_examples=150)
@given(st.lists(texts, min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_a_cache_changes_nothing(versions: list[str], chance: random.Random) -> None:
    cached, small = Sections(), Sections(limit=40)
    for _ in range(6):
        text = chance.choice(versions)
        expected = list(Sections().blocks(text))
        assert list(cached.blocks(text)) == expected
        assert list(small.blocks(text)) == expected
        assert list(cached.blocks(text.replace("\n", "\r\n"))) == expected


def test_only_the_section_that_changed_is_parsed() -> None:
    sections, parsed = Sections(), []
    parse = sections._parser.parse
    sections._parser.parse = lambda text, env=None: (parsed.append(text), parse(text, env))[1]
    text = "".join(f"## Part {n}\n\ntext {n}\n\n" for n in range(50))
    assert len(list(sections.blocks(text))) == 100
    parsed.clear()
    assert len(list(sections.blocks(text.replace("text 7\n", "other\n")))) == 100
    assert parsed == ["## Part 7\n\nother\n\n"]


def test_the_blocks() -> None:
    text = """# Title

A paragraph
of two lines.

- one
  - [x] deeper

    a second paragraph
- [ ] `code` and **bold**

| Phase | Status |
|-------|--------|
| 1     | done   |

Not a heading
---
"""
    assert list(Sections().blocks(text)) == [
        Block(BlockKind.HEADING, ("Title",), 1),
        Block(BlockKind.PARAGRAPH, ("A paragraph", "of two lines.")),
        Block(BlockKind.ITEM, ("one",), 1),
        Block(BlockKind.ITEM, ("[x] deeper",), 2),
        Block(BlockKind.PARAGRAPH, ("a second paragraph",)),
        Block(BlockKind.ITEM, ("[ ] `code` and **bold**",), 1),
        Block(BlockKind.ROW, ("Phase", "Status"), 0),
        Block(BlockKind.ROW, ("1", "done"), 1),
        Block(BlockKind.PARAGRAPH, ("Not a heading",)),
    ]


@pytest.mark.parametrize("before", ["", "\x0c page\n\n", "a\u2028b\n\n", "\x85\x1c\n", "x\r\ny\r\n\r\n"])
@pytest.mark.parametrize("fence", ["```", "~~~", "````"])
def test_a_fence_that_opens_nothing_is_left_out(before: str, fence: str) -> None:
    text = f"# A\n\n{before}```py\ncode\n```\n\n{fence}\n\nAfter.\n\n## B\n\nLast.\n"
    found = [block.lines for block in Sections().blocks(text) if block.kind is BlockKind.HEADING]
    assert found == [("A",), ("B",)]
    assert [block.lines for block in Sections().blocks(text)][-1] == ("Last.",)


@pytest.mark.parametrize(
    "code", ["```md\n\n## B\n```\n", "```\ntext\n\n## B\n```\n", "```\n\ntext\n```\n", "~~~ md\n\n## B\n~~~\n"]
)
def test_code_with_headings_is_code(code: str) -> None:
    found = list(Sections().blocks(f"# A\n\n{code}\n## C\n"))
    assert [block.lines for block in found] == [("A",), ("C",)]


@pytest.mark.parametrize(
    "text",
    [
        "# a\n" * 60_000,
        "```\n\n# a\n" * 15_000,
        "```x\n# a\n" * 15_000,
        "<!--\n# a\n" * 15_000,
        "<div>\n# a\n" * 15_000,
        "> " * 60_000,
        "- " * 60_000,
        "[" * 100_000,
        "|a" * 30_000 + "\n" + "|-" * 30_000 + "\n" + "|b" * 30_000,
        "\\" * 200_000,
        "**" * 215_000,
        "1. a\n   " * 15_000,
        "#" * 200_000,
        "\n" * 1_000_000,
    ],
    ids=lambda text: repr(text[:8]),
)
def test_a_hostile_text_takes_no_time(text: str) -> None:
    begun = time.perf_counter()
    for _ in Sections().blocks(text):
        pass
    assert time.perf_counter() - begun < 30


def test_what_is_refused() -> None:
    for raw, code in ((b"", "empty"), (b"\xef\xbb\xbf \n", "empty"), (b"a" * (MAX_MARKDOWN + 1), "too_big")):
        with pytest.raises(CheckpointError) as caught:
            decode_markdown("x.md", raw)
        assert caught.value.code == code
    assert decode_markdown("x.md", b"a\xff") == "a\ufffd"
    assert decode_markdown("x.md", "é".encode("utf-16")) == "é"
    assert decode_markdown("x.md", "é".encode("utf-16")[:3]) == "\ufffd"
