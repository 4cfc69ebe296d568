"""Recipes: strict keys with a path and a suggestion, overrides, swaps, one base."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from groundup.core.config import (
    Use,
    apply_overrides,
    apply_swaps,
    check_user_part,
    load_user_part,
    node,
    parse,
    parse_duration,
    read_recipe,
    to_plain,
)
from groundup.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Square:
    type: Literal["square"] = "square"
    side: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Circle:
    type: Literal["circle"] = "circle"
    radius: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Drawing:
    shape: node(Square, Circle) = Square()
    others: tuple[node(Square, Circle), ...] = ()
    count: int


def test_parse_and_back() -> None:
    drawing = parse(Drawing, {"count": 2, "shape": {"type": "circle", "radius": 3}, "others": [{"type": "square"}]})
    assert drawing == Drawing(count=2, shape=Circle(radius=3.0), others=(Square(),))
    assert parse(Drawing, to_plain(drawing)) == drawing


@pytest.mark.parametrize(
    ("data", "path", "hint"),
    [
        ({"count": 1, "shap": {}}, "d.shap", "shape"),
        ({"count": 1, "shape": {"type": "circle", "radios": 1}}, "d.shape.radios", "radius"),
        ({"count": "1"}, "d.count", ""),
        ({"count": 1.5}, "d.count", ""),
        ({"count": True}, "d.count", ""),
        ({}, "d.count", "d.count=VALUE"),
        ({"count": 1, "shape": {"type": "circel"}}, "d.shape", "circle"),
        ({"count": 1, "others": [{"type": "square", "side": "wide"}]}, "d.others.0.side", ""),
    ],
)
def test_errors_name_path_and_nearest_key(data: dict, path: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Drawing, data, path="d")
    assert caught.value.path == path
    assert hint in caught.value.hint


def test_overrides_have_yaml_types() -> None:
    base = {"a": {"b": 1, "list": [1, 2]}, "c": {}}
    over = apply_overrides(base, ["a.b=2.5", "a.new=true", "a.list.1=7", "c.lr=1e-3", "c.name=~/notes"])
    assert over == {"a": {"b": 2.5, "new": True, "list": [1, 7]}, "c": {"lr": 1e-3, "name": "~/notes"}}
    assert base == {"a": {"b": 1, "list": [1, 2]}, "c": {}}, "the recipe itself must not change"


@pytest.mark.parametrize("wrong", ["novalue", "=1", "a b=1", "zz.b=1", "a.list.9=1"])
def test_bad_overrides(wrong: str) -> None:
    with pytest.raises(ConfigError):
        apply_overrides({"a": {"list": [1]}}, [wrong])


def test_changing_a_type_drops_the_old_fields() -> None:
    assert apply_overrides({"s": {"type": "circle", "radius": 2}}, ["s.type=square"]) == {"s": {"type": "square"}}


def test_swap_keeps_what_it_replaces(tmp_path) -> None:
    (tmp_path / "mine.py").write_text("class Mine:\n    pass\n")
    swapped = apply_swaps({"m": {"x": {"type": "circle", "radius": 2}}}, [f"m.x={tmp_path}/mine.py:Mine"])
    assert swapped["m"]["x"]["replaces"] == {"radius": 2}
    use = parse(Use, swapped["m"]["x"])
    assert load_user_part(use).__name__ == "Mine"
    with pytest.raises(ConfigError, match="has no 'Mime'") as caught:
        load_user_part(Use(use=f"{tmp_path}/mine.py:Mime"))
    assert "Mine" in caught.value.hint
    with pytest.raises(ConfigError, match="does not exist"):
        load_user_part(Use(use=f"{tmp_path}/other.py:Mine"))


def test_one_base(tmp_path) -> None:
    (tmp_path / "a.yaml").write_text("x: {type: circle, radius: 1}\ny: {k: 1, l: 2}\n")
    (tmp_path / "b.yaml").write_text("base: a.yaml\nx: {type: square, side: 2}\ny: {k: 3}\n")
    (tmp_path / "c.yaml").write_text("base: b.yaml\n")
    assert read_recipe(tmp_path / "b.yaml") == {"x": {"type": "square", "side": 2}, "y": {"k": 3, "l": 2}}
    with pytest.raises(ConfigError, match="one level"):
        read_recipe(tmp_path / "c.yaml")
    (tmp_path / "d.yaml").write_text("a: [1\n")
    with pytest.raises(ConfigError, match="line"):
        read_recipe(tmp_path / "d.yaml")
    with pytest.raises(ConfigError, match="does not exist"):
        read_recipe(tmp_path / "e.yaml")


def test_durations() -> None:
    assert [parse_duration(t) for t in ("90s", "3m", "1h30m", 45)] == [90, 180, 5400, 45]
    for wrong in ("3 parsecs", "", "m", 0, "-3m"):
        with pytest.raises(ConfigError):
            parse_duration(wrong)


def test_one_key_of_a_part_that_is_left_as_it_is() -> None:
    """The type is the default's; where another key is wrong, the error names it."""
    from groundup.models.decoder import BlockConfig
    from groundup.nn.ffn import GatedConfig

    block = {
        "mixer": {"num_attention_heads": 2, "position": {"rope_theta": 5e5}},
        "ffn": {"type": "gated", "intermediate_size": 8},
    }
    made = parse(BlockConfig, {**block, "norm": {"eps": 1e-3}})
    assert made.mixer.position.rope_theta == 5e5 and made.norm.eps == 1e-3 and isinstance(made.ffn, GatedConfig)
    with pytest.raises(ConfigError, match="unknown key") as error:
        parse(BlockConfig, {**block, "norm": {"epsilon": 1e-3}})
    assert error.value.path == "norm.epsilon"
    with pytest.raises(ConfigError, match="ffn"):  # required: there is no default to take the type of
        parse(BlockConfig, {**block, "ffn": {"intermediate_size": 8}})


@pytest.mark.parametrize(
    ("source", "name", "says"),
    [
        ("class Mine: pass", "Yours", "has no 'Yours'"),
        ("def f(:", "f", "is not Python"),
        ("raise SystemExit('this file was run')\nclass Mine: pass", "Mine", None),
        ("from math import sqrt as root", "root", None),
        ("a, b = 1, 2", "b", None),
        ("from somewhere import *", "anything", None),
    ],
)
def test_a_users_part_is_looked_for_before_anything_runs(
    source: str, name: str, says: str | None, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(source)
    use = Use(use=f"{tmp_path / 'mine.py'}:{name}")
    if says is None:
        check_user_part(use)
    else:
        with pytest.raises(ConfigError, match=says):
            check_user_part(use)
