"""A lesson as pieces of a page: its rows apart, formulas as MathML, commands to copy, and everything else inert."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from groundup.core.errors import DataError
from groundup.learn import content
from groundup.learn.content import labs_folder, lesson_path
from groundup.studio.lesson import command_lines, lesson_pieces, mathml, sections, to_pieces

pytestmark = pytest.mark.row("L.8")
TEXT = r"""# Chapter 5: The transformer

How the rows hang together, in $n$ steps.

## 5.3 Positions

A sinusoid.

```python
## 5.9 no heading, but a comment
price = "$5 and $6"
```

## 5.4 Attention

Scores are $q \cdot k / \sqrt{d}$ and cost 5 $ or `$HOME`:

$$
\mathrm{softmax}\left(\frac{QK^\top}{\sqrt{d}}\right) V
$$

| name | cost |
|---|---|
| scores | $O(T^2)$ |

```bash
# first
groundup run recipes/tiny_gpt.yaml \
  --budget 2m
groundup lab 5.4   # what it buys
```

[a paper](https://example.org/paper) and [the map](../../docs/map.md) and [bad](javascript:alert(1)).

<script>window.__owned = 1</script> <img src=x onerror="window.__owned = 2">
"""


def html_of(text: str) -> str:
    return "".join(p.text for p in to_pieces(text) if p.kind == "html")


def test_rows_are_told_apart() -> None:
    found = sections(TEXT)
    assert list(found) == ["", "5.3", "5.4"]
    assert found[""].startswith("How the rows") and found["5.3"].startswith("A sinusoid") and "5.9" in found["5.3"]
    assert sections("nothing here") == {"": "nothing here"} and sections("") == {"": ""}


def test_formulas_are_mathml_and_dollars_are_dollars() -> None:
    html = html_of(sections(TEXT)["5.4"])
    assert html.count("<math") == 3 and html.count('display="block"') == 1
    assert "cost 5 $ or <code>$HOME</code>" in html
    assert re.search(r"<td><math.*?</math></td>", html, re.S)
    assert '<div class="ln-scroll ln-formula" tabindex="0"><math' in html
    assert "ln-long" not in html, "a short one stays in its line"
    assert '<span class="ln-long" tabindex="0"><math' in html_of(f"a ${'x + ' * 20}x$ b")
    rows = ElementTree.fromstring(mathml(r"\begin{aligned} a &= b \\ c &= d \end{aligned}")).findall(".//{*}mtr")
    assert len(rows) == 2
    ElementTree.fromstring(mathml(r"\frac{a_i}{b}"))
    assert "formula" not in re.sub(r"ln-formula", "", html), "no mark is left behind"
    assert "<math" not in html_of(sections(TEXT)["5.3"])


def test_a_formula_that_cannot_be_read_is_shown_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mathml(r"\left( <b>") == r"<code>\left( &lt;b&gt;</code>"
    import sys

    mathml.cache_clear()
    monkeypatch.setitem(sys.modules, "latex2mathml.converter", None)
    assert mathml("a<b") == "<code>a&lt;b</code>"
    mathml.cache_clear()


def test_text_that_looks_like_a_mark_stays_itself() -> None:
    html = html_of("formula0x0end and $x$")
    assert html.count("<math") == 1 and "formula0x0end" in html


def test_commands_are_apart() -> None:
    pieces = to_pieces(sections(TEXT)["5.4"])
    assert [p.kind for p in pieces] == ["html", "commands", "html"]
    assert command_lines(pieces[1].text) == [
        "groundup run recipes/tiny_gpt.yaml --budget 2m", "groundup lab 5.4  # what it buys",
    ]  # fmt: skip


def test_what_could_run_is_text() -> None:
    html = html_of(sections(TEXT)["5.4"])
    assert "<script" not in html and "<img" not in html and "&lt;script&gt;" in html
    assert "javascript:" not in re.sub(r"<[^>]*>", "", html) or 'href="javascript' not in html
    assert re.findall(r'href="([^"]*)"', html) == ["https://example.org/paper"]
    assert 'target="_blank" rel="noopener noreferrer"' in html and "the map" in html


def test_a_file_that_changes_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "labs" / "ch05_transformer"
    folder.mkdir(parents=True)
    monkeypatch.setattr(content, "labs_folder", lambda: tmp_path / "labs")
    assert lesson_path(5) is None
    (folder / "lesson.md").write_text("# C\n\nold\n\n## 5.1 A\n\none\n")
    path = lesson_path(5)
    assert path is not None and "old" in lesson_pieces(path)[0].text and lesson_pieces(path, "5.2") == ()
    (folder / "lesson.md").write_text("# C\n\nnew text\n")
    assert "new text" in lesson_pieces(path)[0].text
    (folder / "lesson.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"lesson\.md cannot be read"):
        lesson_pieces(path)
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        lesson_pieces(path)


@pytest.mark.parametrize("path", sorted((labs_folder() or Path()).glob("ch*/lesson.md")), ids=lambda p: p.parent.name)
def test_every_formula_of_the_lessons_can_be_drawn(path: Path) -> None:
    for row, text in sections(path.read_text(encoding="utf-8")).items():
        for piece in to_pieces(text):
            if piece.kind == "html":
                drawn = re.sub(r"<math.*?</math>", "", piece.text, flags=re.S)
                prose = re.sub(r"<pre.*?</pre>|<code>.*?</code>", "", drawn, flags=re.S)
                assert "<mi>&</mi>" not in piece.text, (
                    f"{path}, row {row!r}: an environment that the converter does not know"
                )
                assert "$$" not in prose and "\\frac" not in drawn and "formula" + "0x" not in drawn, (
                    f"{path}, row {row!r}"
                )
