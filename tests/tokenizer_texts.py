"""Texts that tokenizers are tested on: mixed real text, hostile strings, and random Unicode on which all libraries agree."""

from __future__ import annotations

import gzip
import random
import sysconfig
import unicodedata
import zipfile
from functools import lru_cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from hypothesis import strategies as st

HOSTILE = {
    "letters": "a" * 20_000,
    "mixed letters": "ab" * 10_000,
    "capitals": "A" * 20_000,
    "spaces": " " * 20_000,
    "line breaks": "\n \r\n" * 5_000,
    "combining marks": "e" + "\u0301" * 10_000,
    "marks and capitals": ("\u0301A" * 5_000) + "a",
    "digits": "1234567890" * 2_000,
    "punctuation": "!?/'" * 5_000,
    "base64": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo" * 600,
    "han": "\u6f22\u5b57" * 5_000,
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467" * 2_000,
    "contractions": "'S'LL'\u017f've'" * 2_000,
    "tail": "text \n \t ",
    "empty": "",
}

_PIECES = [
    *"aAbZsStTlLvVeErRmMdD'.,!/?_0159-", " ", "  ", "\n", "\r\n", "\t", "'s", "'LL", "'\u017f", "\u00e9", "e\u0301", "\u0301",
    "\u4e2d\u6587", "\u02b0", "\u01c5", "\u2167", "\u0663", "\u00a0", "\u3000", "\x85", "\x1c", "\U0001f600", "\u00df", "\u212a",
    "\u0e01\u0e33", "\u0928\u092e", "\uac00", "<|endoftext|>", "don't", "WORLD", "naiveCase",
]  # fmt: skip


def random_text(rng: random.Random, most_pieces: int) -> str:
    """Pieces chosen to sit on the borders that the patterns draw."""
    return "".join(rng.choice(_PIECES) for _ in range(rng.randrange(1, most_pieces)))


@lru_cache(maxsize=1)
def _agreed() -> frozenset[str]:
    """Characters whose category is the same in Python's Unicode and in the newer one of `regex`, so in those in between."""
    import regex

    names = {"Lu", "Ll", "Lt", "Lm", "Lo"}
    patterns = {name: regex.compile(rf"\p{{{name}}}") for name in [*names, "N", "M"]}
    agreed = set()
    for point in [*range(0xD800), *range(0xE000, 0x20000)]:
        char = chr(point)
        category = unicodedata.category(char)
        if category != "Cn":
            name = category if category in names else category[0] if category[0] in "NM" else None
            if all(bool(pattern.match(char)) == (key == name) for key, pattern in patterns.items()):
                agreed.add(char)
    return frozenset(agreed)


def unicode_text() -> st.SearchStrategy[str]:
    """Any text of characters that every library knows, with the interesting pieces often among them."""
    char = st.characters(exclude_categories=("Cs", "Cn"), max_codepoint=0x1FFFF).filter(lambda c: c in _agreed())
    return st.lists(st.one_of(char, st.sampled_from(_PIECES)), max_size=40).map("".join)


def mixed_text(shared_data: Path, num_bytes: int, seed: int) -> str:
    """English, code, every language of the Declaration of Human Rights, Japanese, web pages: slices in random order."""
    rng = random.Random(seed)
    texts = [
        gzip.decompress((shared_data / name).read_bytes()).decode("utf-8")
        for name in (
            "gutenberg/alice_in_wonderland.txt.gz",
            "multilingual/wagahaiwa_nekodearu.txt.gz",
            "multilingual/botchan.txt.gz",
            "instruct/alpaca_zh_demo.json.gz",
            "webtext_demo/wiki_demo.txt.gz",
        )
    ]
    with zipfile.ZipFile(shared_data / "multilingual/udhr2.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".txt")]
        texts.append("\n".join(archive.read(name).decode("utf-8", "replace") for name in rng.sample(names, 120)))
    library = Path(sysconfig.get_paths()["stdlib"])
    sources = sorted(library.glob("*.py"))
    texts.append("\n".join(path.read_text("utf-8", "replace") for path in rng.sample(sources, 40)))
    share = num_bytes // len(texts)
    parts = []
    for text in texts:
        at = rng.randrange(max(1, len(text) - share))
        parts.append(text[at : at + share])
    rng.shuffle(parts)
    text = "\n\n".join(parts)
    return "".join(char if char in _agreed() or char > "\U0001ffff" else " " for char in text)


def uncompiled(module: ModuleType, **changed: Any) -> dict[str, Any]:
    """The Numba functions of a module as the Python they were written in, calling each other; globals may be changed."""
    functions = {
        key: value.py_func
        for key, value in vars(module).items()
        if hasattr(value, "py_func") and value.py_func.__module__ == module.__name__
    }
    namespace = {**vars(module), **changed}
    for key, function in functions.items():
        namespace[key] = FunctionType(function.__code__, namespace, key)
    return namespace
