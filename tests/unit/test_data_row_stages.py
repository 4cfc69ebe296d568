"""The stages `rows` and `mix`, and `groundup data convert`: what they write, and that no prompt is in two splits."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from groundup.cli.data import command
from groundup.cli.wiring import STAGES
from groundup.core.artifact import read_seal, verify
from groundup.core.errors import ConfigError, DataError
from groundup.core.recipe import load_recipe, run_recipe
from groundup.data import read_examples, read_feedback, read_preferences
from groundup.data.row_files import write_objects
from groundup.data.row_stages import prompt_key
from groundup.data.summary import data_directories, show_document, summary_page

pytestmark = pytest.mark.row("8.1")
SPLITS = ("train", "validation", "test")


def run(directory: Path, recipe: str, out: str = "run", *overrides: str) -> tuple[Path, dict[str, Any]]:
    (directory / "recipe.yaml").write_text(recipe)
    made = run_recipe(load_recipe(directory / "recipe.yaml", STAGES, overrides=overrides), directory / out)
    return directory / out, made


def talk(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def texts(directory: Path) -> dict[str, str]:
    return {split: (directory / f"{split}.jsonl").read_text() for split in SPLITS}


def test_rows_are_checked_split_and_counted(tmp_path: Path) -> None:
    rows = [{"instruction": f"q{i % 150}", "input": "", "output": f"a{i}", "source": "mine"} for i in range(300)]
    write_objects([*rows, *rows[:7]], tmp_path / "data.json.gz")
    out, report = run(tmp_path, f"rows: {{type: rows, path: {tmp_path}/data.json.gz, validation: 0.1, test: 0.1}}")
    assert verify(out / "rows").kind == "instruct"
    figures = report["stages"]["rows"]["figures"]
    assert figures["left_out"] == {"exact copy of another row": 7} and sum(figures["examples"].values()) == 300
    found = {split: list(read_examples(out / "rows", split)) for split in SPLITS}
    assert {split: len(rows) for split, rows in found.items()} == figures["examples"]
    prompts = {split: {prompt_key(row) for row in rows} for split, rows in found.items()}
    assert all(len(found[split]) == 2 * len(prompts[split]) for split in SPLITS), (
        "both answers of a question stay together"
    )
    assert (
        not prompts["train"] & (prompts["validation"] | prompts["test"]) and not prompts["validation"] & prompts["test"]
    )
    assert all(5 <= len(prompts[split]) <= 30 for split in ("validation", "test"))
    assert found["train"][0]["source"] == "mine" and found["train"][0]["id"].startswith("data.json.gz:")
    again, _ = run(tmp_path, (tmp_path / "recipe.yaml").read_text(), "again")
    assert texts(again / "rows") == texts(out / "rows")
    # A row keeps its split when others come.
    write_objects([talk("new", "row"), *({k: v for k, v in row.items()} for row in rows)], tmp_path / "data.json.gz")
    more, _ = run(tmp_path, (tmp_path / "recipe.yaml").read_text(), "more")
    test = {prompt_key(row) for row in read_examples(more / "rows", "test")}
    assert prompts["test"] <= test
    assert list(data_directories(out)) == ["rows"] and "instruct" in summary_page(out / "rows")
    shown = show_document(out / "rows", found["test"][0]["id"])
    assert shown["split"] == "test" and shown["messages"] == found["test"][0]["messages"]


def test_limit_and_errors(tmp_path: Path) -> None:
    write_objects([talk(f"q{i}", "a") for i in range(50)] + [{"messages": 3}], tmp_path / "a.jsonl")
    recipe = f"rows: {{type: rows, path: {tmp_path}/a.jsonl, limit: 20}}"
    with pytest.raises(DataError, match=r"a\.jsonl, row 51: messages must be a list"):
        run(tmp_path, recipe)
    out, report = run(tmp_path, recipe, "run", "rows.on_error=drop")
    figures = report["stages"]["rows"]["figures"]
    assert sum(figures["examples"].values()) == 20
    assert figures["left_out"]["beyond the limit"] == 30
    assert figures["left_out"]["malformed: messages must be a list of at least one message, not 3"] == 1
    other, _ = run(tmp_path, "seed: 5\n" + recipe, "other", "rows.on_error=drop")
    assert texts(other / "rows") != texts(out / "rows")
    for wrong in ("format: sharegtp", "limit: 0", "validation: 0.9, test: 0.2"):
        with pytest.raises(ConfigError):
            run(tmp_path, f"rows: {{type: rows, path: a.jsonl, {wrong}}}")
    (tmp_path / "b.jsonl").write_text("\n")
    with pytest.raises(DataError, match="no row"):
        run(tmp_path, f"rows: {{type: rows, path: {tmp_path}/b.jsonl}}")
    with pytest.raises(DataError, match=r"row of preference data .* where instruct data is due"):
        pairs = {"prompt": "a", "chosen": "b", "rejected": "c"}
        write_objects([talk("q", "a"), pairs], tmp_path / "mixed.jsonl")
        run(tmp_path, f"rows: {{type: rows, path: {tmp_path}/mixed.jsonl}}")


@pytest.mark.parametrize(
    ("name", "more", "kind", "count"),
    [
        ("instruct/glaive_toolcall_en_demo.json.gz", "", "instruct", 300),
        ("instruct/dolly_151.jsonl.gz", ", columns: {completion: answer}", "instruct", 151),
        ("preference/hh_harmless_base_test.jsonl.gz", ", limit: 500", "preference", 500),
        ("preference/dpo_en_demo.json.gz", "", "preference", 300),
        ("preference/instruction-data-with-preference.json", ", format: alpaca_preference", "preference", 1100),
        ("preference/kto_en_demo.json.gz", "", "feedback", 300),
    ],
)
def test_real_files_become_artifacts(
    name: str, more: str, kind: str, count: int, shared_data: Path, tmp_path: Path
) -> None:
    out, report = run(tmp_path, f"rows: {{type: rows, path: {shared_data / name}{more}}}")
    assert read_seal(out / "rows").kind == kind
    read = {"instruct": read_examples, "preference": read_preferences, "feedback": read_feedback}[kind]
    found = [row for split in SPLITS for row in read(out / "rows", split)]
    left_out = report["stages"]["rows"]["figures"]["left_out"]
    assert len(found) == count - left_out.get("exact copy of another row", 0) > 0.85 * count
    if "glaive" in name:
        assert any(row.get("tools") for row in found)
        calls = [m for row in found for m in row["messages"] if m.get("tool_calls")]
        assert calls and all(isinstance(c["function"]["arguments"], dict) for m in calls for c in m["tool_calls"])
    wrong = {"instruct": read_preferences, "preference": read_feedback, "feedback": read_examples}[kind]
    with pytest.raises(DataError, match=r"is due|of no known form"):
        list(wrong(out / "rows", "train"))


MIX = """
a: {{type: rows, path: {0}/a.jsonl, validation: 0.2, test: 0.2}}
b: {{type: rows, path: {0}/b.jsonl, validation: 0.2, test: 0.2}}
mix: {{type: mix, parts: [{{stage: a{1}}}, {{stage: b{2}}}]}}
"""


@pytest.fixture
def two(tmp_path: Path) -> Path:
    write_objects([{**talk(f"a{i}", "x"), "kind": "a"} for i in range(200)], tmp_path / "a.jsonl")
    write_objects([{**talk(f"b{i}", "y"), "kind": "b"} for i in range(60)], tmp_path / "b.jsonl")
    return tmp_path


def test_a_mixture_has_its_shares(two: Path) -> None:
    out, report = run(two, MIX.format(two, ", share: 1", ", share: 3"))
    for split in SPLITS:
        kinds = Counter(row["kind"] for row in read_examples(out / "mix", split))
        b = len(list(read_examples(out / "b", split)))
        assert kinds == {"a": round(b / 3), "b": b}, split
    train = [row["kind"] for row in read_examples(out / "mix", "train")]
    assert train != sorted(train), "the parts are mixed"
    again, _ = run(two, MIX.format(two, ", share: 1", ", share: 3"), "again")
    assert texts(again / "mix") == texts(out / "mix")
    other, _ = run(two, "seed: 3\n" + MIX.format(two, ", share: 1", ", share: 3"), "other")
    assert texts(other / "mix") != texts(out / "mix")
    assert report["stages"]["mix"]["figures"]["taken"]["b"]["train"] == train.count("b")


def test_a_mixture_of_all_with_a_limit(two: Path) -> None:
    out, _ = run(two, MIX.format(two, ", limit: 10", ""))
    kinds = Counter(row["kind"] for row in read_examples(out / "mix", "train"))
    assert kinds == {"a": 10, "b": len(list(read_examples(out / "b", "train")))}
    assert read_seal(out / "mix").kind == "instruct"


def test_what_one_part_holds_out_no_part_trains_on(two: Path) -> None:
    """The same questions with other answers, split by other shares: some that b trains on, a holds out."""
    write_objects([{**talk(f"a{i}", "other"), "kind": "b"} for i in range(200)], two / "b.jsonl")
    recipe = MIX.format(two, "", "").replace("b.jsonl, validation: 0.2, test: 0.2", "b.jsonl, validation: 0, test: 0")
    out, report = run(two, recipe)
    found = {split: {prompt_key(row) for row in read_examples(out / "mix", split)} for split in SPLITS}
    assert not found["train"] & (found["test"] | found["validation"]) and not found["validation"] & found["test"]
    left = report["stages"]["mix"]["figures"]["left_out"]["its prompt is in a split held out"]
    assert left == len(found["test"]) + len(found["validation"]) > 20


def test_mixtures_that_cannot_be(two: Path) -> None:
    with pytest.raises(ConfigError, match="every part a share, or none"):
        run(two, MIX.format(two, ", share: 1", ""))
    with pytest.raises(ConfigError, match="share"):
        run(two, MIX.format(two, ", share: -1", ", share: 1"))
    with pytest.raises(ConfigError, match="each once"):
        run(two, MIX.format(two, "", "").replace("stage: b", "stage: a"))
    write_objects([{"prompt": f"{i}", "chosen": "b", "rejected": "c"} for i in range(30)], two / "b.jsonl")
    with pytest.raises(ConfigError, match="stage 'b' makes preference, and this mixture is of instruct"):
        run(two, MIX.format(two, "", ""))


def test_convert(tmp_path: Path) -> None:
    write_objects([{"instruction": "q", "input": "", "output": "a", "note": 1}], tmp_path / "a.json")
    done = CliRunner().invoke(
        command, ["convert", f"{tmp_path}/a.json", f"{tmp_path}/b.parquet", "--to", "messages", "--json"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"rows": 1, "to": "messages", "path": f"{tmp_path}/b.parquet", "from": {"alpaca": 1},
                                       "left_out": 0, "left_out_first": []}  # fmt: skip
    back = CliRunner().invoke(command, ["convert", f"{tmp_path}/b.parquet", f"{tmp_path}/c.json", "--to", "alpaca"])
    assert back.exit_code == 0 and "1 rows of messages written" in back.stdout
    assert json.loads((tmp_path / "c.json").read_text()) == json.loads((tmp_path / "a.json").read_text())


def test_convert_stops_or_leaves_out(tmp_path: Path) -> None:
    system = [{"role": "system", "content": "s"}, *talk("q", "a")["messages"]]
    write_objects([talk("q", "a"), {"messages": system}, {"x": 1}], tmp_path / "a.jsonl")
    arguments = ["convert", f"{tmp_path}/a.jsonl", f"{tmp_path}/b.jsonl", "--to", "prompt_completion_text"]
    stopped = CliRunner().invoke(command, arguments)
    assert isinstance(stopped.exception, DataError) and "a.jsonl, row 2" in str(stopped.exception)
    assert not (tmp_path / "b.jsonl").exists(), "half a file was left"
    done = CliRunner().invoke(command, [*arguments, "--skip-errors"])
    assert done.exit_code == 0 and "2 rows were left out" in done.stderr and "row 3" in done.stderr
    assert json.loads((tmp_path / "b.jsonl").read_text()) == {"prompt": "q", "completion": "a"}
    wrong = CliRunner().invoke(command, [*arguments, "--column", "x"])
    assert wrong.exit_code == 2 and "NAME=FIELD" in wrong.output
    for form in ("messages", "nothing"):
        bad = CliRunner().invoke(command, [*arguments, "--from", form])
        assert isinstance(bad.exception, (DataError, ConfigError))
    help_page = CliRunner().invoke(command, ["convert", "--help"]).output
    assert "Examples:" in help_page and "--to FORM" in help_page
