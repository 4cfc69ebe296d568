"""Porter's stemmer against NLTK's, over real words and made ones that carry every ending."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import pytest

from groundup.text.stem import measure, stem

pytestmark = pytest.mark.row("0.8")

SEED = int.from_bytes(os.urandom(4))
ENDINGS = """ational tional enci anci izer abli alli entli eli ousli ization ation ator alism iveness fulness ousness aliti iviti biliti icate
ative alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize s es ed ing eed y logi ly
e ll ies sses bli""".split()  # noqa: SIM905


def made_words(count: int) -> list[str]:
    rng = random.Random(SEED)
    stems = ("".join(rng.choices("aeiouybcdlstrwxz'1", k=rng.randint(0, 6))) for _ in range(count))
    return [word + "".join(rng.choices(ENDINGS, k=rng.randint(0, 3))) for word in stems]


@pytest.mark.parametrize(("mode", "revised"), [("ORIGINAL_ALGORITHM", False), ("MARTIN_EXTENSIONS", True)])
def test_made_words(mode: str, revised: bool) -> None:
    nltk = pytest.importorskip("nltk.stem.porter")
    peer = nltk.PorterStemmer(mode=mode)
    words = made_words(6000)
    different = {word: (stem(word, revised=revised), peer.stem(word)) for word in words}
    different = {word: pair for word, pair in different.items() if pair[0] != pair[1]}
    assert not different, f"seed {SEED}"


def test_real_words(shared_data: Path) -> None:
    nltk = pytest.importorskip("nltk.stem.porter")
    peer = nltk.PorterStemmer(mode="ORIGINAL_ALGORITHM")
    text = (shared_data / "rt_polarity" / "rt-polarity.pos.txt").read_text() + " Oscillate RELATIONAL"
    words = sorted(set(re.findall(r"[A-Za-z']+", text)))
    assert len(words) > 8000
    assert [stem(word) for word in words] == [peer.stem(word) for word in words]


def test_measure_of_the_paper() -> None:
    wanted = {0: "tr ee tree y by", 1: "trouble oats trees ivy", 2: "troubles private oaten orrery"}
    assert {word: measure(word) for m in wanted for word in wanted[m].split()} == {
        word: m for m in wanted for word in wanted[m].split()
    }
