"""groundup.text: decoding, normal form, measures, HTML."""

from __future__ import annotations

import base64
import codecs
import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core.errors import MissingDependency
from groundup.text.decode import decode, looks_binary, undo_mojibake
from groundup.text.html import main_text
from groundup.text.measures import blob_share, character_shares, compressed_share, duplicate_line_share, longest_line
from groundup.text.normalise import normalise

# Characters that interact: combining marks that controls keep apart, marks, surrogates, line ends of every kind.
_AWKWARD = st.text(st.sampled_from("a\u0301\u0327e\u200d\ufeff\r\n\x85\x00\x1f\x7f\x9f\ud800\udfff\u1100\u1161 x\t"))


@pytest.mark.row("6.3")
@given(st.one_of(st.text(), _AWKWARD, st.text(st.characters(categories=["Cs", "Cc", "Mn", "Lo", "Ll"]))))
def test_normalise_twice_is_once_and_always_encodes(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert "\r" not in once and "\x00" not in once
    once.encode("utf-8")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        ("cafe\u0301", "café"),
        ("\ufeffstart", "start"),
        ("a\x00b\x07c\x7f", "abc"),
        ("e\x00\u0301", "é"),
        ("tab\tstays\n", "tab\tstays\n"),
        ("x² stays", "x² stays"),
        ("\ud83d alone", "\ufffd alone"),
        ("one\x85two", "one\ntwo"),
    ],
)
def test_normalise_examples(before: str, after: str) -> None:
    assert normalise(before) == after


@pytest.mark.row("6.2")
@given(st.binary(max_size=300), st.booleans())
def test_decode_never_fails(data: bytes, python: bool) -> None:
    assert isinstance(decode(data, python=python).text, str)


@given(st.text(max_size=200).filter(lambda t: undo_mojibake(t) is None and not t.startswith("\ufeff")))
def test_plain_utf8_is_read_as_it_is(text: str) -> None:
    assert decode(text.encode()) == type(decode(b""))(text=text)


@pytest.mark.row("6.2")
@pytest.mark.parametrize(
    ("data", "python", "text", "repaired"),
    [
        (codecs.BOM_UTF8 + "é".encode(), False, "é", ""),
        ("é€".encode("utf-16"), False, "é€", ""),
        ("é€".encode("utf-32"), False, "é€", ""),
        (b"# -*- coding: koi8-r -*-\n# \xf0\xf2", True, "# -*- coding: koi8-r -*-\n# ПР", ""),
        (b"# -*- coding: no-such -*-\nx = 1", True, "# -*- coding: no-such -*-\nx = 1", ""),
        ("naïve – “yes”".encode("cp1252"), False, "naïve – “yes”", "Windows-1252"),
        (b"\x81\xe9", False, "\x81é", "Latin-1"),
        ("donâ€™t stop, cafÃ©".encode(), False, "don’t stop, café", "encoded twice"),
        (
            "naïve here\nâ€œyesâ€\x9d there\nboth: ï â€™".encode(),
            False,
            "naïve here\n“yes” there\nboth: ï ’",
            "twice",
        ),
        ("donâ€™t".encode(), True, "donâ€™t", ""),
        (
            "“this is fine” but â€™ is shown as an example".encode(),
            False,
            "“this is fine” but â€™ is shown as an example",
            "",
        ),
        ("Ã is a letter, and so is Â".encode(), False, "Ã is a letter, and so is Â", ""),
    ],
)
def test_decode_says_what_it_assumed(data: bytes, python: bool, text: str, repaired: str) -> None:
    decoded = decode(data, python=python)
    assert decoded.text == text
    assert repaired in decoded.repaired and bool(decoded.repaired) == bool(repaired)


def test_binary_is_told_from_text() -> None:
    assert looks_binary(b"\x7fELF\0\0")
    assert not looks_binary("text".encode("utf-16"))
    assert not looks_binary("plain é".encode())


@pytest.mark.row("6.3")
@given(st.text(max_size=200))
def test_character_shares_agree_with_the_definition(text: str) -> None:
    letters, unprintable = character_shares(text)
    solid = [c for c in text if not c.isspace()]
    expected = sum(unicodedata.category(c)[0] in "LM" for c in solid) / len(solid) if solid else 0.0
    bad = sum(
        c == "\ufffd" or (unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") and c not in "\t\n\r") for c in text
    )
    assert letters == pytest.approx(expected)
    assert unprintable == pytest.approx(bad / len(text) if text else 0.0)


def test_measures_of_known_texts() -> None:
    noise = base64.b64encode(random.Random(1).randbytes(3000)).decode()
    wrapped = "\n".join(noise[i : i + 76] for i in range(0, len(noise), 76))
    assert blob_share(wrapped) > 0.95
    assert blob_share("Words, and a path/that/is/long but no blob at all. " * 20) == 0
    assert duplicate_line_share("a\nb\na\n\n a \n") == pytest.approx(0.5)
    assert compressed_share("the same again\n" * 4000) < 0.02 < 0.5 < compressed_share(noise)
    assert longest_line("abc\nabcde\n") == 5


_PAGE = """<html><head><title> A  day </title><style>p {color: red}</style></head><body>
<nav><a href="/">Home</a> <a href="/x">News</a></nav>
<ul><li><a href="1">One link</a></li><li><a href="2">Another link</a></li></ul>
<article><h1>Out at sea</h1><p>The boat left at dawn &amp; came
back <b>late</b>.</p><pre>  kept
    as it is</pre><p>It was <a href="w">windy</a> all day, and cold at night.</p></article>
<aside>Buy this</aside><script>alert("no")</script><footer>Imprint</footer></body></html>"""


@pytest.mark.row("6.2")
def test_main_text_leaves_navigation_and_scripts_out() -> None:
    title, text = main_text(_PAGE)
    assert title == "A day"
    assert text.split("\n\n")[:2] == ["Out at sea", "The boat left at dawn & came back late."]
    assert "It was windy all day, and cold at night." in text
    assert not any(word in text for word in ("Home", "link", "Buy", "alert", "Imprint", "color"))


@pytest.mark.row("6.2")
def test_main_text_survives_hostile_nesting() -> None:
    assert main_text("<div>" * 20_000 + "deep")[1] == "deep"


def test_html_without_selectolax_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "selectolax.lexbor", None)
    with pytest.raises(MissingDependency, match="selectolax") as caught:
        main_text("<p>x</p>")
    assert caught.value.hint == "pip install 'groundup[data]'"
