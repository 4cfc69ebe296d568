"""The compiled scanners cut text exactly as the `regex` module does with the published patterns."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import regex
from hypothesis import given, settings
from tiktoken_ext import openai_public

from groundup.core.errors import TokenizerError
from groundup.tokenizers.patterns import NAMED, SCANNERS, rule_of, split_text
from groundup.tokenizers.splitter import Splitter, as_bytes
from tokenizer_texts import HOSTILE, mixed_text, random_text, uncompiled, unicode_text

pytestmark = pytest.mark.row("3.1")
RULES = list(NAMED)


def pieces(name: str, text: str) -> list[str]:
    data = as_bytes(text)
    cut: list[str] = []
    for at, ends, count in Splitter(NAMED[name]).blocks(data):
        for end in ends[:count].tolist():
            cut.append(data[at:end].tobytes().decode("utf-8"))
            at = end
    return cut


@pytest.mark.parametrize("name", RULES)
def test_every_named_rule_has_a_scanner(name: str) -> None:
    assert NAMED[name] in SCANNERS


@pytest.mark.parametrize("name", RULES)
def test_scanner_equals_regex_on_random_borders(name: str) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(3000):
        text = random_text(rng, 14)
        assert pieces(name, text) == split_text(NAMED[name], text), repr(text)


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=150, deadline=None)
@given(text=unicode_text())
def test_scanner_equals_regex_on_any_unicode(name: str, text: str) -> None:
    assert pieces(name, text) == split_text(NAMED[name], text)


def test_scanner_equals_regex_on_every_code_point() -> None:
    """One of each code point among letters, spaces, digits: the table of categories is that of `regex`."""
    points = [*range(0x3000), *range(0xA000, 0xD800), *range(0xE000, 0x20000, 3), *range(0x20000, 0x110000, 997)]
    text = "".join(f"{chr(p)}a {chr(p)}1A{chr(p)}" for p in points)
    for name in ("gpt2", "cl100k", "o200k"):
        assert pieces(name, text) == split_text(NAMED[name], text)


@pytest.mark.parametrize("name", RULES)
def test_scanner_equals_regex_on_real_and_hostile_text(name: str, shared_data: Path) -> None:
    for text in [mixed_text(shared_data, 300_000, seed=len(name)), *HOSTILE.values()]:
        assert pieces(name, text) == split_text(NAMED[name], text)


@pytest.mark.parametrize("name", ["r50k_base", "cl100k_base", "o200k_base"])
@settings(max_examples=100, deadline=None)
@given(text=unicode_text())
def test_our_spelling_of_a_pattern_is_that_of_tiktoken(name: str, text: str) -> None:
    import unittest.mock

    with unittest.mock.patch.object(openai_public, "load_tiktoken_bpe", return_value={}):
        theirs = getattr(openai_public, name)()["pat_str"]
    ours = {"r50k_base": "gpt2", "o200k_base": "o200k"}.get(name, name)
    assert rule_of(theirs) == NAMED[ours]
    assert split_text(NAMED[ours], text) == regex.findall(theirs, text)


@pytest.mark.parametrize("name", ["gpt2", "cl100k", "cl100k_base", "o200k", "smollm"])
def test_cuts_change_no_piece(name: str, shared_data: Path) -> None:
    text = mixed_text(shared_data, 400_000, seed=5)
    data = as_bytes(text)
    splitter = Splitter(NAMED[name])
    cuts = splitter.cuts(data, 2_000)
    assert len(cuts) > 50
    assert cuts[0] == 0 and cuts[-1] == len(data)
    whole = [np.concatenate([ends[:count].copy() for _, ends, count in splitter.blocks(data)])]
    parts = [ends[:count].copy() for a, b in pairwise(cuts) for _, ends, count in splitter.blocks(data, a, b)]
    assert np.array_equal(np.concatenate(whole), np.concatenate(parts))
    last = splitter.last_cut(data)
    assert 0 < last < len(data) and last in np.concatenate(whole)


def test_other_patterns_run_through_regex_and_keep_all_text() -> None:
    rule = rule_of(r"[a-z]+")
    splitter = Splitter(rule)
    assert not splitter.compiled
    assert split_text(rule, "abc, déf") == ["abc", ", ", "d", "é", "f"]
    data = as_bytes("abc, déf")
    (at, ends, count), *_ = splitter.blocks(data)
    assert (at, count, ends.tolist()) == (0, 5, [3, 5, 6, 8, 9])
    assert splitter.cuts(data, 1) == [0, 9]


def test_a_pattern_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(TokenizerError, match=r"'\(' is neither"):
        Splitter(rule_of("("))


@pytest.mark.parametrize("name", ["gpt2", "cl100k", "o200k"])
def test_scanners_look_at_each_character_a_bounded_number_of_times(name: str) -> None:
    """Linear by count: the compiled loops run as plain Python, and every look at a character is counted."""
    from groundup.tokenizers import scanners
    from groundup.tokenizers.unicode_table import category_table

    looks = 0

    class Counted:
        def __getitem__(self, point: int) -> int:
            nonlocal looks
            looks += 1
            return int(table[point])

    table = category_table()
    plain = uncompiled(scanners)
    kind, first, second = SCANNERS[NAMED[name]]
    for label, text in HOSTILE.items():
        data = as_bytes(text[:3000])
        looks = 0
        ends = np.empty(len(data) + 1, np.int64)
        plain[f"scan_{kind}"](data, 0, len(data), Counted(), first, second, ends)
        assert looks <= 6 * len(text[:3000]) + 6, label
