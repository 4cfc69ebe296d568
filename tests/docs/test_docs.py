"""Every recipe parses, every stage is documented, every link leads somewhere. Snippets are in test_snippets.py, the site in test_site.py."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from groundup.cli.wiring import STAGES
from groundup.core.config import json_schema
from groundup.core.recipe import load_recipe, recipe_schema, stage_class, stage_plan
from groundup.models.decoder import Decoder
from groundup.models.directory import save_model
from tiny import tiny_config

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CHANGELOG.md", ROOT / "LOG.md"]


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipes_dry_run(path: Path, tmp_path: Path) -> None:
    text = tmp_path / "input.txt"
    text.write_text("some text\n" * 100)
    data = path.read_text()
    overrides = [f"data.source.path={text}"] if "type: files" in data else []
    if "type: labelled" in data:
        (tmp_path / "rows.jsonl").write_text('{"text": "good", "label": "a"}\n')
        overrides.append(f"rows.path={tmp_path / 'rows.jsonl'}")
    if "type: pretrained" in data:
        save_model(Decoder(tiny_config()), tmp_path / "model")
        overrides += [
            f"{stage}.path={tmp_path / 'model'}" for stage in re.findall(r"^(\w+): \{type: pretrained", data, re.M)
        ]
    recipe = load_recipe(path, STAGES, overrides=overrides)
    assert recipe.description and recipe.name == path.stem
    assert all(row["state"] == "new" for row in stage_plan(recipe, tmp_path / "out"))


def test_every_stage_has_documented_fields() -> None:
    for kind in STAGES:
        schema = json_schema(stage_class(kind, STAGES, path=kind))
        assert schema["properties"]["type"]["const"] == kind
    assert len(json.dumps(recipe_schema(STAGES))) > 1000


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("path", sorted((ROOT / "src").rglob("*.py")), ids=lambda p: p.name)
def test_no_unpickling_and_a_docstring(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\bpickle\b\.|torch\.load\(|joblib|allow_pickle=True", text), f"{path} unpickles"
    assert text.lstrip().startswith(('"""', 'r"""')), f"{path} has no module docstring"


def test_makefile_names_what_the_readme_promises() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([a-z-]+)", "".join(p.read_text() for p in PAGES)):
        assert re.search(rf"^{target}:", makefile, re.M), f"make {target} is documented and does not exist"
