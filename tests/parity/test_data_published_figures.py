"""Sizes of well-known data preparations, as their authors published them."""

from __future__ import annotations

from pathlib import Path

import pytest

from groundup.core.recipe import load_recipe, run_recipe
from groundup.data import TokenShards
from groundup.data.files import find_files
from groundup.data.formats import FileReading, read_file
from groundup.text.html import main_text

_TABLE = {
    "documents": "groundup.data.stages:DocumentsStage",
    "train_tokenizer": "groundup.data.stages:TokenizerStage",
    "pack": "groundup.data.stages:PackStage",
}


@pytest.mark.row("6.8")
def test_tinyshakespeare_by_characters_is_nanogpts(shared_data: Path, tmp_path: Path) -> None:
    """nanoGPT data/shakespeare_char/readme.md: 65 characters, 1,003,854 train and 111,540 validation tokens."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"data: {{type: documents, source: {{type: files, path: {shared_data / 'tinyshakespeare'}}},\n"
        "  steps: [], split: {by: position, validation: 0.1, test: 0}}\n"
        "tokenizer: {type: train_tokenizer, algorithm: char, special_tokens: []}\n"
        "tokens: {type: pack, eos_token: null}\n"
    )
    figures = {
        name: row["figures"]
        for name, row in run_recipe(load_recipe(recipe, _TABLE), tmp_path / "run")["stages"].items()
    }
    assert figures["tokenizer"]["vocab_size"] == 65
    assert figures["tokens"]["tokens"] == {"train": 1_003_854, "validation": 111_540, "test": 0}
    assert TokenShards.open(tmp_path / "run" / "tokens", "train").index.dtype == "uint16"


@pytest.mark.row("6.1")
def test_tinystories_are_cut_into_stories(shared_data: Path) -> None:
    """One file marks the end of a story; the other puts blank lines inside stories and none between them."""
    how = FileReading(separator="<|endoftext|>", document_start=r"(?<=[^\n]\n)(?=[^\n])")
    files = {f.name: f for f in find_files(str(shared_data / "tinystories"))}
    marked = list(read_file(files["tinystories_10k_lines.txt.gz"], how, source="files"))
    plain = list(read_file(files["tinystories_sample.txt"], how, source="files"))
    assert 1727 <= len(marked) <= 1728 and not any("endoftext" in d.text for d in marked)
    assert 900 < len(plain) < 1200
    assert sum(d.text.startswith(("Once", "One ")) for d in plain) > 0.6 * len(plain)
    assert "\n\n" in plain[0].text and sum("â€™" in d.text or "â€œ" in d.text for d in plain) == 0


@pytest.mark.row("6.2")
def test_main_text_against_the_article_extraction_benchmark(shared_data: Path) -> None:
    """181 pages with the text that people marked (scrapinghub/article-extraction-benchmark); mean F1 of word 4-grams.

    Taking all text of the body reaches 0.64, the rules here 0.87.
    """
    import gzip
    import json
    import re
    import zipfile
    from collections import Counter

    truth = json.loads(gzip.decompress((shared_data / "html_extraction" / "ground-truth.json.gz").read_bytes()))

    def shingles(text: str) -> Counter[tuple[str, ...]]:
        words = re.findall(r"\w+", text)
        return Counter(tuple(words[i : i + 4]) for i in range(max(1, len(words) - 3)))

    scores = []
    with zipfile.ZipFile(shared_data / "html_extraction" / "html.zip") as pages:
        for name in pages.namelist():
            key = Path(name).name.partition(".")[0]
            if key not in truth:
                continue
            page = gzip.decompress(pages.read(name)).decode("utf-8", "replace")
            found, wanted = shingles(main_text(page)[1]), shingles(truth[key]["articleBody"])
            scores.append(2 * sum((found & wanted).values()) / (sum(found.values()) + sum(wanted.values())))
    assert len(scores) == 181
    assert sum(scores) / len(scores) > 0.84
