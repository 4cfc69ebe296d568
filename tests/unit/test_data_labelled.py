"""Labelled files of every form into rows, splits without leaks, and errors that name the row."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from groundup.core.errors import ConfigError, DataError
from groundup.core.recipe import load_recipe, run_recipe
from groundup.data.labelled import read_labelled, read_labels
from groundup.data.split import SPLITS

pytestmark = pytest.mark.row("9.3")
TABLE = {"labelled": "groundup.data.labelled:LabelledStage"}


def made(tmp_path: Path, **stage: Any) -> Path:
    (tmp_path / "r.yaml").write_text(json.dumps({"name": "r", "rows": {"type": "labelled", **stage}}))
    run_recipe(load_recipe(tmp_path / "r.yaml", TABLE), tmp_path / "run")
    return tmp_path / "run" / "rows"


def rows_of(directory: Path) -> dict[str, list[dict[str, Any]]]:
    return {split: list(read_labelled(directory, split)) for split in SPLITS}


def every(directory: Path) -> list[dict[str, Any]]:
    return [row for part in rows_of(directory).values() for row in part]


def test_spam_without_a_header(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "sms_spam" / "sms.tsv"
    directory = made(tmp_path, path=str(path), columns=["label", "text"], quoted=False)
    assert read_labels(directory) == ("classification", ("ham", "spam"))
    lines = [line.split("\t", 1) for line in path.read_text().split("\n") if line]
    wanted: dict[str, str] = {}
    for label, text in lines:
        wanted.setdefault(text, label)
    parts = rows_of(directory)
    found = {row["text"]: row["label"] for part in parts.values() for row in part}
    assert found == wanted and sum(map(len, parts.values())) == len(wanted) > 5000
    assert 0.07 < len(parts["test"]) / len(found) < 0.13 > len(parts["validation"]) / len(found) > 0.07


def test_chunks_of_the_shared_task(shared_data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared_data / "nltk_corpora" / "conll2000.zip") as archive:
        for name in archive.namelist():
            if name.endswith(("train.txt", "test.txt")):
                # A part of each is enough, up to the end of a sentence.
                text = archive.read(name).decode()[:60_000].rpartition("\n\n")[0]
                (tmp_path / Path(name).name).write_text(text)
    directory = made(tmp_path, path=str(tmp_path / "train.txt"), test_path=str(tmp_path / "test.txt"))
    task, labels = read_labels(directory)
    assert task == "tagging" and {"B-NP", "I-NP", "O"} <= set(labels) and list(labels) == sorted(labels)
    parts = rows_of(directory)
    wanted = [
        [line.split()[0] for line in block.split("\n")] for block in (tmp_path / "test.txt").read_text().split("\n\n")
    ]
    assert [row["words"] for row in parts["test"]] == [list(x) for x in dict.fromkeys(map(tuple, wanted))]
    assert parts["validation"] and not {tuple(r["words"]) for r in parts["train"]} & {
        tuple(r["words"]) for r in parts["test"]
    }


def test_questions_about_one_text_stay_together(shared_data: Path, tmp_path: Path) -> None:
    whole = json.loads(gzip.open(shared_data / "squad" / "dev-v1.1_first_half.json.gz").read())
    whole["data"] = whole["data"][:6]
    (tmp_path / "squad.json").write_text(json.dumps(whole))
    directory = made(tmp_path, path=str(tmp_path / "squad.json"))
    assert read_labels(directory) == ("span", ("start", "end"))
    parts = rows_of(directory)
    contexts = {split: {row["context"] for row in part} for split, part in parts.items()}
    assert all(contexts.values()) and not contexts["train"] & (contexts["validation"] | contexts["test"])
    for row in every(directory):
        for answer in row["answers"]:
            assert row["context"][answer["start"] :].startswith(answer["text"])
    count = sum(len(p["qas"]) for a in whole["data"] for p in a["paragraphs"])
    assert len(every(directory)) + json.loads((directory / "card.json").read_text())["the_same_example_again"] == count


def test_json_lines_of_each_task(tmp_path: Path) -> None:
    several = [{"text": f"t{i}", "labels": ["b", "a"][: i % 3]} for i in range(30)]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, several)))
    directory = made(tmp_path, path=str(tmp_path / "m.jsonl"))
    assert read_labels(directory) == ("multi_label", ("a", "b"))
    assert {row["text"]: row["labels"] for row in every(directory)} == {r["text"]: sorted(r["labels"]) for r in several}
    (tmp_path / "c.csv").write_text("comment,tags\n" + "\n".join(f'"t, {i}",x | y' for i in range(25)))
    directory = made(
        tmp_path, path=str(tmp_path / "c.csv"), text_field="comment", label_field="tags", label_separator="|"
    )
    assert all(row["labels"] == ["x", "y"] and row["text"].startswith("t, ") for row in every(directory))
    (tmp_path / "n.jsonl").write_text("\n".join(json.dumps({"text": f"t{i}", "label": i % 2}) for i in range(25)))
    directory = made(tmp_path, path=str(tmp_path / "n.jsonl"), labels=["1", "0"])
    assert read_labels(directory) == ("classification", ("1", "0"))


def test_what_is_held_out_was_not_trained_on(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(
        "\n".join(json.dumps({"text": f"t{i % 20}", "label": "a"}) for i in range(40))
    )
    (tmp_path / "test.jsonl").write_text(json.dumps({"text": "t3", "label": "a"}))
    parts = rows_of(made(tmp_path, path=str(tmp_path / "train.jsonl"), test_path=str(tmp_path / "test.jsonl")))
    assert [row["text"] for row in parts["test"]] == ["t3"]
    rest = [row["text"] for row in parts["train"] + parts["validation"]]
    assert len(rest) == len(set(rest)) == 19 and "t3" not in rest


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"text": "x", "label": "a"}\n{"text": 3, "label": "a"}', "row 2: text must be text, not int"),
        ("a.jsonl", '{"text": "x", "label": 1.5}', "row 1: label must be a name or a whole number"),
        ("a.jsonl", '{"text": "x", "label": "a"', "row 1: not valid JSON"),
        ("a.jsonl", '{"text": "x", "stars": "a"}', "row 1: has no 'label'; it has 'text', 'stars'"),
        ("a.jsonl", '{"words": ["a", "b"], "labels": ["O"]}', "row 1: 2 words and 1 labels"),
        ("a.jsonl", '{"question": "q", "context": "abc", "answers": [{"text": "b", "start": 0}]}', "'b' is not at character 0"),
        ("a.jsonl", '{"text": "x", "label": "a"}\n{"words": ["x"], "labels": ["O"]}', "rows are of 2 tasks"),
        ("a.csv", "text,label\nx,a,b", "row 2: has more fields than the 2 columns"),
        ("a.conll", "EU B-ORG\nrejects\n", "row 2: has 1 columns"),
        ("a.json", '{"data": [{"paragraphs": [{"qas": []}, {"context": "x"}]}]}', "not SQuAD's JSON: KeyError: 'qas'"),
        ("a.xyz", "x", "suffix '.xyz' does not say"),
        ("a.jsonl", "", "rows are of 0 tasks"),
    ],
)  # fmt: skip
def test_errors_name_the_row(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as error:
        made(tmp_path, path=str(tmp_path / name))
    assert message in str(error.value)


def test_labels_must_be_listed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "x", "label": "c"}')
    with pytest.raises(DataError, match="does not list: c"):
        made(tmp_path, path=str(tmp_path / "a.jsonl"), labels=["a", "b"])
    with pytest.raises(ConfigError, match="repeat"):
        made(tmp_path, path=str(tmp_path / "a.jsonl"), labels=["a", "a"])


def test_a_file_for_each_label(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "films.pos.txt").write_text("good\n\nfine\n")
    (tmp_path / "in" / "films.neg.txt").write_text("bad\n")
    rows = every(made(tmp_path, path=str(tmp_path / "in"), format="file_per_label", split={"validation": 0, "test": 0}))
    assert {(row["text"], row["label"]) for row in rows} == {("good", "pos"), ("fine", "pos"), ("bad", "neg")}
    (tmp_path / "in" / "films.neg.txt").unlink()
    with pytest.raises(DataError, match="do not tell labels apart"):
        made(tmp_path, path=str(tmp_path / "in"), format="file_per_label")


def test_a_folder_for_each_label(tmp_path: Path) -> None:
    for label, texts in {"up": ["rise", "a\nb"], "down": ["fall"]}.items():
        (tmp_path / "in" / label).mkdir(parents=True)
        for number, text in enumerate(texts):
            (tmp_path / "in" / label / f"{number}.txt").write_text(text)
    directory = made(tmp_path, path=str(tmp_path / "in"), format="folder_per_label", split={"validation": 0, "test": 0})
    assert {(row["text"], row["label"]) for row in every(directory)} == {
        ("rise", "up"),
        ("a b", "up"),
        ("fall", "down"),
    }


def test_the_label_at_the_end_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("write to me@home .@neutral\nit rose@positive\n")
    stage = {"path": str(tmp_path / "x.txt"), "format": "label_at_end", "split": {"validation": 0, "test": 0}}
    rows = every(made(tmp_path, **stage))
    assert [(row["text"], row["label"]) for row in rows] == [("write to me@home .", "neutral"), ("it rose", "positive")]
    (tmp_path / "x.txt").write_text("it rose@positive\nnothing here\n")
    with pytest.raises(DataError, match="row 2: has no label after a last '@'"):
        made(tmp_path, **stage)
    (tmp_path / "x.txt").write_text("part 1\nof two@up\n" + "".join(f"text {i}@down\n" for i in range(150)))
    assert every(made(tmp_path, **stage))[0]["text"] == "part 1 of two"
    (tmp_path / "x.txt").write_text("a@up\n" * 150 + "no label\n")
    with pytest.raises(DataError, match="row 151"):
        made(tmp_path, **stage)


def test_repeated_texts_stay_when_asked(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(
        '{"text": "a", "label": "x"}\n{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n'
    )
    stage = {"path": str(tmp_path / "x.jsonl"), "split": {"validation": 0, "test": 0}}
    assert len(every(made(tmp_path, **stage))) == 2
    assert len(every(made(tmp_path, keep_repeated=True, **stage))) == 3


def test_made_data_and_a_path_that_takes_its_place(tmp_path: Path) -> None:
    messages = {"type": "messages", "num_examples": 200}
    directory = made(tmp_path, made=messages, split={"validation": 0, "test": 0.2})
    assert read_labels(directory) == ("classification", ("ham", "spam"))
    assert 150 < len(every(directory)) <= 200
    (tmp_path / "x.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')
    assert len(every(made(tmp_path, made=messages, path=str(tmp_path / "x.jsonl")))) == 2
    three = made(tmp_path, made={"type": "reviews", "neutral": True, "num_examples": 90, "about": "shop"})
    assert read_labels(three)[1] == ("negative", "neutral", "positive")
    with pytest.raises(ConfigError, match="neither where the data is nor what to make"):
        made(tmp_path)
