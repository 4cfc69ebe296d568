"""Spaces written as text, the three samplers, and what is said to have mattered."""

from __future__ import annotations

import math
import random

import pytest

from groundup.core.errors import ConfigError
from groundup.core.search_space import Dimension, Known, build_sampler, importances, parse_space


@pytest.mark.row("1.8")
def test_spaces_are_read_and_drawn_within_their_ends() -> None:
    space = parse_space(["a.lr=log:1e-4..1e-1/4", "b=0..0.5", "c=int:2..9", "d=logint:1..64", "e=none,batch,3,true"])
    rng = random.Random(1)
    drawn = [{d.path: d.draw(rng) for d in space} for _ in range(400)]
    assert all(1e-4 <= x["a.lr"] <= 1e-1 and 0 <= x["b"] <= 0.5 for x in drawn)
    assert {x["c"] for x in drawn} == set(range(2, 10)) and all(
        type(x["d"]) is int and 1 <= x["d"] <= 64 for x in drawn
    )
    assert {x["e"] for x in drawn} == {"none", "batch", 3, True}
    below = sum(x["a.lr"] < 10**-2.5 for x in drawn)
    assert 140 < below < 260, "half of a logarithmic range lies below its geometric middle"
    assert space[0].grid() == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    assert parse_space(["n=int:1..3/9"])[0].grid() == [1, 2, 3]


@pytest.mark.row("1.8")
@pytest.mark.parametrize(
    ("texts", "match"),
    [
        (["lr"], "key.path=values"),
        (["lr=log:0..1"], "above 0"),
        (["lr=3..1"], "lower end"),
        (["lr=log:5"], "two ends"),
        (["lr=a..b"], "numbers"),
        (["a=1,2", "a=3,4"], "twice"),
        ([], "nothing to search"),
    ],
)
def test_spaces_that_are_none_say_why(texts: list[str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        parse_space(texts)


SPACE = parse_space(["x=-2..2", "kind=good,bad", "n=int:1..4"])


def truth(settings: dict[str, object]) -> float:
    x = float(settings["x"])  # type: ignore[arg-type]
    return -((x - 1) ** 2) - (3 if settings["kind"] == "bad" else 0)


@pytest.mark.row("1.8")
def test_a_grid_is_every_combination_once_and_random_is_a_function_of_the_seed() -> None:
    grid = build_sampler("grid", parse_space(["a=1,2", "b=0..1/3"]), 0)
    made = [grid.propose(i, []) for i in range(7)]
    assert made[:6] == [{"a": a, "b": b} for a in (1, 2) for b in (0.0, 0.5, 1.0)] and made[6] is None
    ours, theirs = (build_sampler("random", SPACE, 5) for _ in range(2))
    assert [ours.propose(i, []) for i in range(9)] == [theirs.propose(i, []) for i in range(9)]
    assert ours.propose(0, []) != build_sampler("random", SPACE, 6).propose(0, [])


@pytest.mark.row("1.8")
def test_the_bayesian_sampler_learns_from_what_is_known_and_goes_on_from_it() -> None:
    def walk(first: list[Known], count: int) -> list[Known]:
        sampler, known = build_sampler("tpe", SPACE, 3), list(first)
        for number in range(len(known), count):
            settings = sampler.propose(number, known)
            assert settings is not None and settings["kind"] in ("good", "bad") and type(settings["n"]) is int
            known.append(Known(number=number, settings=settings, score=truth(settings)))
        return known

    whole = walk([], 40)
    late = [k.score for k in whole[20:] if k.score is not None]
    early = [k.score for k in whole[:10] if k.score is not None]
    assert sum(late) / len(late) > sum(early) / len(early) + 0.5
    assert walk(whole[:15], 20) == whole[:20], "what it proposes depends on nothing but what is known"
    running = [*whole[:12], Known(number=12, settings=whole[12].settings, score=None)]
    assert build_sampler("tpe", SPACE, 3).propose(13, running) is not None


@pytest.mark.row("1.8")
def test_what_mattered_is_the_share_of_the_spread() -> None:
    rng = random.Random(4)
    settings = [{d.path: d.draw(rng) for d in SPACE} for _ in range(300)]
    found = importances(SPACE, settings, [truth(s) for s in settings])
    assert found["n"] < 0.05 and found["x"] > 0.3 and found["kind"] > 0.08
    assert found["x"] + found["kind"] + found["n"] <= 1.05
    only = importances(SPACE, settings, [float(s["kind"] == "good") for s in settings])
    assert only["kind"] == pytest.approx(1) and only["x"] < 0.05
    assert set(importances(SPACE, [], []).values()) == {0.0}
    assert importances(SPACE, settings[:5], [1.0] * 5)["x"] == 0.0


@pytest.mark.row("1.8")
def test_a_share_of_a_logarithmic_range_is_its_geometric_point() -> None:
    d = Dimension(path="a", low=1.0, high=100.0, logarithmic=True)
    assert d.at(0.5) == pytest.approx(10) and d.at(0) == 1 and math.isclose(d.at(1), 100)
    with pytest.raises(ValueError, match="choice"):
        Dimension(path="a", choices=(1, 2)).at(0.5)
