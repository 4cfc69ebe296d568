"""Labelled examples: texts with a label (or several), words with a tag each, questions with their answers in a text.

    {"id", "text", "label": "ham"}                        classification
    {"id", "text", "labels": ["sport", "money"]}          multi_label
    {"id", "words": [...], "labels": ["B-NP", "O", ...]}  tagging
    {"id", "question", "context", "answers": [{"text", "start"}]}   span; no answers: the context does not say

The stage reads JSON lines, CSV and TSV, CoNLL columns, SQuAD's JSON, and texts whose label is in the name of their file or folder or at
the end of their line into these rows (or makes them: data/made), checks them, and splits them; the labels, in the order that numbers them,
are on the card. Left out: overlapping entities, answers that are not in the text.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..core.artifact import atomic_write
from ..core.config import Use, load_user_part, node
from ..core.errors import ConfigError, DataError
from ..core.recipe import StageContext
from ..text.decode import decode
from .card import read_card, write_card
from .documents import read_rows
from .files import FoundFile, find_files, fingerprint, read_bytes
from .formats import parse_row
from .made.messages import MessagesConfig
from .made.reviews import ReviewsConfig
from .split import SPLITS, Split, hash_position

TASKS = ("classification", "multi_label", "tagging", "span")
MadeNode: Any = node(MessagesConfig, ReviewsConfig)
LabelledTask = Literal["classification", "multi_label", "tagging", "span"]
FORMAT_OF = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".conll": "conll", ".bio": "conll",
             ".iob": "conll", ".txt": "conll", ".json": "squad"}  # fmt: skip
_MOST_BROKEN = 0.01
"""Share of lines without a label that are taken for the beginning of a text; more is a wrong mark."""
_LIMIT_BYTES = 1 << 31
_MAX_FIELD = 2**31 - 1
_DOCUMENT_MARK = "-DOCSTART-"


@dataclass(frozen=True, kw_only=True)
class LabelledStage:
    """Read labelled files, check and split them."""

    path: str | None = None
    """A file, a folder or a glob: all of the data, or its train part where validation_path or test_path are given."""
    made: MadeNode | None = None
    """Data of the machine's own making, where no path is given."""
    validation_path: str | None = None
    test_path: str | None = None
    """Parts that are split already; what is not given is cut from `path` by `split`."""
    format: Literal[
        "auto", "jsonl", "csv", "tsv", "conll", "squad", "file_per_label", "folder_per_label", "label_at_end"
    ] = "auto"
    """auto: by the suffix (.txt is conll, .json is squad). file_per_label: a text a line, the label is what a file's name has that others
    have not (rt.pos, rt.neg). folder_per_label: a text a file. label_at_end: a text a line, and after the last `label_mark` its label."""
    label_mark: str = "@"
    columns: tuple[str, ...] = ()
    """Names of the columns of csv and tsv files without a header line; "" for one that is not read."""
    quoted: bool = True
    """False: quotation marks in csv and tsv files are ordinary characters."""
    text_field: str = "text"
    label_field: str = "label"
    label_separator: str | None = None
    """Cut a csv label here into several: "sport|money" with "|"."""
    tag_column: int = -1
    """Which column of a conll file holds the tag (the word is in the first)."""
    keep_repeated: bool = False
    """True: a text that is there several times stays so (published figures are often of such data). Copies can then be on both sides of a
    split, and what is measured is too good."""
    labels: tuple[str, ...] = ()
    """The labels in the order that numbers them; (): those found, sorted. A label that is not listed is an error."""
    split: Split = field(default_factory=lambda: Split(validation=0.1, test=0.1))
    licence: str = ""
    """What may be done with the data; written on its card."""
    type: Literal["labelled"] = "labelled"
    kind = "labelled"

    def __post_init__(self) -> None:
        if len(set(self.labels)) != len(self.labels):
            raise ConfigError(f"the labels repeat: {', '.join(self.labels)}", path="labels")
        if self.path is None and self.made is None:
            raise ConfigError("says neither where the data is nor what to make", path="path",
                              hint="path: FILE, or made: {type: messages}")  # fmt: skip
        if not self.label_mark:
            raise ConfigError("must not be empty", path="label_mark")
        if self.label_separator == "":
            raise ConfigError("must not be empty; null reads each label whole", path="label_separator")

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        paths = (self.path, self.validation_path, self.test_path)
        if self.path is None:
            return "made"
        return "|".join(fingerprint(find_files(path)) for path in paths if path is not None)

    def run(self, context: StageContext) -> Mapping[str, Any]:
        rows: dict[str, list[dict[str, Any]]] = {}
        if self.path is None:
            rows["train"] = list(self._make(context.seed))
        for split, path in (("train", self.path), ("validation", self.validation_path), ("test", self.test_path)):
            if path is not None:
                rows[split] = list(self._read(path))
        source = self.path or f"made: {self.made.type if self.made else ''}"
        task = _one_task(row for part in rows.values() for row in part)
        repeated = 0 if self.keep_repeated else _drop_repeated(rows, task)
        rows = self._splits(rows)
        labels = self._labels(rows, task)
        counts: dict[str, dict[str, int]] = {}
        for split in SPLITS:
            counts[split] = dict(Counter(name for row in rows[split] for name in _names(row, task)).most_common())
            with atomic_write(context.directory / f"{split}.jsonl") as file:
                for row in rows[split]:
                    file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        if not rows["train"]:
            raise DataError(f"{source} has no example for training", hint="make split.validation and test smaller")
        card = {
            "kind": "labelled",
            "task": task,
            "source": source,
            "licence": self.licence or "not stated",
            "labels": labels,
            "splits": {split: {"examples": len(rows[split])} for split in SPLITS},
            "examples_per_label": {name: {s: counts[s].get(name, 0) for s in SPLITS} for name in labels},
            "the_same_example_again": repeated,
        }
        write_card(
            context.directory,
            card,
            title=f"Labelled examples: {Path(source).name}",
            text="JSON lines, one example each (see `groundup.data.labelled`).",
        )
        examples = {split: len(rows[split]) for split in SPLITS}
        return {"task": task, "labels": list(labels), "examples": examples, "repeated": repeated}

    def _make(self, seed: int) -> Iterator[dict[str, Any]]:
        assert self.made is not None
        made = load_user_part(self.made)(**self.made.args) if isinstance(self.made, Use) else self.made
        for number, row in enumerate(made.make(seed), start=1):
            yield {"id": f"made:{number}", **checked(row, f"made row {number}")}

    def _read(self, path: str) -> Iterator[dict[str, Any]]:
        files = find_files(path)
        named = _labels_of_files(files) if self.format == "file_per_label" else {}
        for file in files:
            kind = FORMAT_OF.get(file.suffix) if self.format == "auto" else self.format
            if kind is None:
                raise DataError(
                    f"{file.path}: the suffix {file.suffix!r} does not say what is in it",
                    hint="set format to jsonl, csv, tsv, conll or squad",
                )
            text = decode(read_bytes(file, limit_bytes=_LIMIT_BYTES)).text
            match kind:
                case "jsonl":
                    found = self._json_rows(file, text)
                case "csv" | "tsv":
                    found = self._csv_rows(file, text, "," if kind == "csv" else "\t")
                case "conll":
                    found = _conll_rows(file, text, self.tag_column)
                case "file_per_label":
                    found = _lines(file, text, named[file.name])
                case "folder_per_label":
                    folder = file.path.resolve().parent.name
                    found = iter([(str(file.path), 1, {"text": " ".join(text.split()), "label": folder})])
                case "label_at_end":
                    found = self._marked_lines(file, text)
                case _:
                    found = squad_rows(file, text)
            for where, number, row in found:
                yield {"id": f"{file.name}:{number}", **checked(row, where)}

    def _marked_lines(self, file: FoundFile, text: str) -> Iterator[tuple[str, int, Any]]:
        """A line without a label is the beginning of the next one's text, as long as that is rare: texts hold line ends now and then."""
        lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
        cut = [(number, line.rpartition(self.label_mark)) for number, line in lines]
        without = [number for number, (_, mark, label) in cut if not mark or not label.strip()]
        if without and (len(without) > _MOST_BROKEN * len(cut) or without[-1] == cut[-1][0]):
            raise DataError(f"{file.path}, row {without[-1]}: has no label after a last {self.label_mark!r} ({len(without)} such rows)",
                            hint="set label_mark to what stands between a text and its label")  # fmt: skip
        begun = ""
        for number, (words, mark, label) in cut:
            if number in without:
                begun += f"{words}{mark}{label} "
                continue
            yield f"{file.path}, row {number}", number, {"text": (begun + words).strip(), "label": label.strip()}
            begun = ""

    def _json_rows(self, file: FoundFile, text: str) -> Iterator[tuple[str, int, Any]]:
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                where = f"{file.path}, row {number}"
                row = parse_row(line, where)
                if isinstance(row, DataError):
                    raise row
                yield where, number, self._renamed(row, where)

    def _csv_rows(self, file: FoundFile, text: str, delimiter: str) -> Iterator[tuple[str, int, Any]]:
        csv.field_size_limit(_MAX_FIELD)
        reader: csv.DictReader[str] = csv.DictReader(
            io.StringIO(text, newline=""),
            self.columns or None,
            delimiter=delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
        )
        try:
            for row in reader:
                where = f"{file.path}, row {reader.line_num}"
                if None in row:  # csv's key for fields beyond the last column
                    raise DataError(f"{where}: has more fields than the {len(reader.fieldnames or ())} columns",
                                    hint="is the separator right, and are fields quoted (quoted=false)?")  # fmt: skip
                yield where, reader.line_num, self._renamed(row, where)
        except csv.Error as error:
            raise DataError(f"{file.path}, row {reader.line_num}: not valid CSV: {error}") from None

    def _renamed(self, row: Any, where: str) -> Any:
        """The recipe's column names turned into ours; rows of the other tasks have their own."""
        if not isinstance(row, Mapping) or "words" in row or "question" in row:
            return row
        missing = [name for name in (self.text_field,) if row.get(name) is None]
        if not missing and row.get(self.label_field) is None and row.get("labels") is None:
            missing = [self.label_field]
        if missing:
            raise DataError(
                f"{where}: has no {missing[0]!r}; it has {', '.join(map(repr, row)) or 'nothing'}",
                hint="name the columns: text_field, label_field; a file without a header line: columns",
            )
        made = {"text": row[self.text_field]}
        label = row.get(self.label_field)
        if label is None:
            return made | {"labels": row["labels"]}
        if self.label_separator is not None and isinstance(label, str):
            parts = (part.strip() for part in label.split(self.label_separator))
            return made | {"labels": [part for part in parts if part]}
        return made | {"labels" if isinstance(label, list) else "label": label}

    def _splits(self, rows: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """What was not given is cut from train; all questions about one context stay together."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in rows["train"]:
            groups.setdefault(row.get("context", row["id"]), []).append(row)
        wanted = Split(
            by="document",
            validation=0.0 if "validation" in rows else self.split.validation,
            test=0.0 if "test" in rows else self.split.test,
        )
        places = wanted.assign([hash_position(name) for name in groups])
        made: dict[str, list[dict[str, Any]]] = {split: list(rows.get(split, ())) for split in SPLITS}
        made["train"] = []
        for place, group in zip(places, groups.values(), strict=True):
            made[SPLITS[place]] += group
        return made

    def _labels(self, rows: Mapping[str, list[dict[str, Any]]], task: str) -> list[str]:
        if task == "span":
            return ["start", "end"]
        found = {name for part in rows.values() for row in part for name in _names(row, task)}
        if task == "tagging":
            found.add("O")
        unknown = sorted(found - set(self.labels)) if self.labels else []
        if unknown:
            raise DataError(f"{self.path} has labels that the recipe does not list: {', '.join(unknown[:10])}",
                            hint=f"labels: [{', '.join(self.labels)}] in the recipe; leave it out to take those found")  # fmt: skip
        return list(self.labels) or sorted(found)


def task_of(row: Mapping[str, Any]) -> str:
    if "words" in row:
        return "tagging"
    if "question" in row:
        return "span"
    return "multi_label" if "labels" in row else "classification"


def checked(row: Any, where: str) -> dict[str, Any]:
    """`row` in one of the four shapes. DataError names the field that is wrong."""
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: must be an object, not {type(row).__name__}")
    if "words" in row:
        words: Any = row["words"]
        labels: Any = row.get("labels")
        _texts(words, f"{where}: words")
        _texts(labels, f"{where}: labels")
        if len(words) != len(labels) or not words or any(not w.strip() for w in words):
            raise DataError(f"{where}: {len(words)} words and {len(labels)} labels; there must be as many of both, "
                            "at least one, and no word may be blank")  # fmt: skip
        return {"words": list(words), "labels": list(labels)}
    if "question" in row:
        return _checked_question(row, where)
    if not isinstance(row.get("text"), str):
        raise DataError(f"{where}: text must be text, not {type(row.get('text')).__name__}")
    if "labels" in row:
        _texts(row["labels"], f"{where}: labels")
        return {"text": row["text"], "labels": sorted(set(row["labels"]))}
    label = row.get("label")
    if isinstance(label, bool) or not isinstance(label, (str, int)) or label == "":
        raise DataError(f"{where}: label must be a name or a whole number, not {label!r}")
    return {"text": row["text"], "label": str(label)}


def _checked_question(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    for name in ("question", "context"):
        if not isinstance(row.get(name), str):
            raise DataError(f"{where}: {name} must be text, not {type(row.get(name)).__name__}")
    answers = row.get("answers")
    if not isinstance(answers, list):
        raise DataError(f"{where}: answers must be a list of {{text, start}}, not {type(answers).__name__}")
    made = []
    for answer in answers:
        text, start = answer.get("text"), answer.get("start")
        if not isinstance(text, str) or type(start) is not int or not text:
            raise DataError(f"{where}: an answer needs text and start (a character number), not {answer!r:.80}")
        if row["context"][start : start + len(text)] != text:
            raise DataError(
                f"{where}: the answer {text!r:.60} is not at character {start} of the context",
                hint="start counts characters (code points) from 0",
            )
        made.append({"text": text, "start": start})
    return {"question": row["question"], "context": row["context"], "answers": made}


def _texts(value: Any, where: str) -> None:
    if not isinstance(value, list) or any(not isinstance(item, str) for item in value):
        raise DataError(f"{where} must be a list of texts, not {value!r:.80}")


def _lines(file: FoundFile, text: str, label: str) -> Iterator[tuple[str, int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{file.path}, row {number}", number, {"text": line.strip(), "label": label}


def _labels_of_files(files: Sequence[FoundFile]) -> dict[str, str]:
    """What the name of each file has that is not in all of them, cut at whatever is no letter or digit."""
    parts = {file.name: [part for part in re.split(r"[\W_]+", file.name) if part] for file in files}
    shared = set.intersection(*map(set, parts.values()))
    labels = {name: "-".join(part for part in pieces if part not in shared) for name, pieces in parts.items()}
    if len(set(labels.values())) < len(files) or not all(labels.values()):
        raise DataError(
            f"the names of {len(files)} files do not tell labels apart: {', '.join(sorted(parts)[:4])}",
            hint="one file for each label, its name says which (reviews.pos.txt, reviews.neg.txt)",
        )
    return labels


def _conll_rows(file: FoundFile, text: str, tag_column: int) -> Iterator[tuple[str, int, Any]]:
    """Sentences divided by blank lines, one word a line, columns divided by spaces or tabs."""
    words: list[str] = []
    tags: list[str] = []
    first = 0
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        columns = line.split()
        if columns and columns[0] != _DOCUMENT_MARK:
            if len(columns) < 2 or not -len(columns) <= tag_column < len(columns):
                raise DataError(
                    f"{file.path}, row {number}: has {len(columns)} columns, a word and its tag are needed",
                    hint="say where the tag is with tag_column",
                )
            first = first if words else number
            words.append(columns[0])
            tags.append(columns[tag_column])
        elif words:
            yield f"{file.path}, row {first}", first, {"words": words, "labels": tags}
            words, tags = [], []


def squad_rows(file: FoundFile, text: str) -> Iterator[tuple[str, int, Any]]:
    """data > paragraphs > qas of versions 1.1 and 2.0; each row is one question."""
    try:
        whole = json.loads(text)
        number = 0
        for article in whole["data"]:
            for paragraph in article["paragraphs"]:
                for qa in paragraph["qas"]:
                    number += 1
                    impossible = qa.get("is_impossible", False)
                    given = () if impossible else qa.get("answers", ())
                    answers = [{"text": a["text"], "start": a["answer_start"]} for a in given if a["text"]]
                    row = {"question": qa["question"], "context": paragraph["context"], "answers": answers}
                    yield f"{file.path}, question {number}", number, row
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{file.path} is not SQuAD's JSON: {type(error).__name__}: {error}",
            hint="data > paragraphs > context and qas > question, answers > text, answer_start",
        ) from None


def _one_task(rows: Iterable[Mapping[str, Any]]) -> str:
    tasks = Counter(task_of(row) for row in rows)
    if len(tasks) != 1:
        raise DataError(
            f"the rows are of {len(tasks)} tasks ({', '.join(tasks) or 'none'}); there must be one",
            hint="keep texts with labels, tagged words and questions in files of their own",
        )
    return next(iter(tasks))


def _names(row: Mapping[str, Any], task: str) -> Sequence[str]:
    match task:
        case "classification":
            return (row["label"],)
        case "span":
            return ()
    labels: Sequence[str] = row["labels"]
    return labels


def _drop_repeated(rows: dict[str, list[dict[str, Any]]], task: str) -> int:
    """Take out what stands in an earlier part or place already, so that nothing held out was trained on. How many."""
    seen: set[str] = set()
    dropped = 0
    for split in ("test", "validation", "train"):
        kept = []
        for row in rows.get(split, ()):
            asked = [row["words"]] if task == "tagging" else [row.get("text"), row.get("question"), row.get("context")]
            key = json.dumps(asked, ensure_ascii=False)
            if key in seen:
                dropped += 1
            else:
                seen.add(key)
                kept.append(row)
        if split in rows:
            rows[split] = kept
    return dropped


def read_labelled(directory: Path | str, split: str) -> Iterator[dict[str, Any]]:
    """Rows of one split of a `labelled` directory."""
    for number, row in read_rows(Path(directory) / f"{split}.jsonl"):
        yield {"id": row.get("id", f"{split}:{number}"), **checked(row, f"{directory}/{split}.jsonl, row {number}")}


def read_labels(directory: Path | str) -> tuple[str, tuple[str, ...]]:
    """(task, labels in order) from the card of a `labelled` directory."""
    card = read_card(directory)
    if card.get("task") not in TASKS or not isinstance(card.get("labels"), list):
        raise DataError(f"{directory} has no card of labelled examples", hint="make it again with a stage `labelled`")
    return str(card["task"]), tuple(card["labels"])
