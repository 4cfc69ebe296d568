"""Bad tables are refused with the file, row and column that are wrong; good ones of every form are read alike."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup.core.errors import ArtifactError, ConfigError, DataError, GroundupError
from groundup.core.recipe import load_recipe, run_recipe
from groundup.data.table import ARRAYS, TypedTable, read_table

pytestmark = [pytest.mark.row("0.3"), pytest.mark.faults]
TABLE = {"table": "groundup.data.table:TableStage"}
GOOD = 'area,district,price\n120,"park, north",300\n,mill,200\n80,park,150.5\n'


def made(tmp_path: Path, path: Path | str, **stage: Any) -> TypedTable:
    (tmp_path / "r.yaml").write_text(json.dumps({"name": "r", "data": {"type": "table", "path": str(path), **stage}}))
    run_recipe(load_recipe(tmp_path / "r.yaml", TABLE), tmp_path / "run")
    return read_table(tmp_path / "run" / "data")


def written(tmp_path: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


BAD: dict[str, tuple[str | bytes, dict[str, Any], tuple[str, ...]]] = {
    "too few fields": ("a,b,c\n1,2,3\n4,5\n", {}, ("row 3", "2 fields", "header has 3", "'c'")),
    "too many fields": ("a,b\n1,2\n3,4,5\n", {}, ("row 3", "3 fields", "'5'")),
    "not UTF-8": (b"a,b\n1,x\n2,caf\xe9\n", {}, ("row 3", "0xe9", "not UTF-8")),
    "zero bytes": (b"a,b\n1,2\x00\n", {}, ("row 2", "zero byte")),
    "empty": ("", {}, ("is empty",)),
    "blank": (" \n\n", {}, ("is empty",)),
    "a header alone": ("a,b\n", {}, ("has no rows",)),
    "a column twice": ("a,b,a\n1,2,3\n", {}, ("row 1", "'a'", "twice")),
    "no such target": ("area,price\n1,2\n", {"target": "prize"}, ("'prize'", "area, price")),
    "a target that is never there": ("a,b\n1,\n2,NA\n", {"target": "b"}, ("column 'b'", "every value is missing")),
    "a column that is never there": ("a,b\n1,\n2,\n", {}, ("column 'b'", "every value is missing", "from row 2")),
    "text among numbers": (
        "a,b\n" + "".join(f"{i},{i}\n" for i in range(30)) + "9,many\n", {}, ("row 32", "column 'b'", "'many'", "30"),
    ),
    "beyond the range of a float": ("a,b\n1,2\n2,1e999\n", {}, ("row 3", "column 'b'", "1e999")),
    "quotes that never end": ('a,b\n1,"x\n2,3\n', {}, ("not valid CSV",)),
    "a column to drop that is not there": ("a,b\n1,2\n", {"drop": ["c"]}, ("'c'",)),
    "free text as target": (
        "a,b\n" + "".join(f"{i % 3},text {i}\n" for i in range(60)), {"target": "b"}, ("column 'b'", "free text"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_files(tmp_path: Path, name: str) -> None:
    content, stage, words = BAD[name]
    path = written(tmp_path, content)
    with pytest.raises(GroundupError) as caught:
        made(tmp_path, path, **stage)
    assert isinstance(caught.value, (DataError, ConfigError))
    for word in (*words, "t.csv"):
        assert word in caught.value.message, caught.value.message


def test_hints_say_what_to_do_next(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        made(tmp_path, written(tmp_path, "a,b\n1,\n2,\n"))
    assert "data.drop='[b]'" in caught.value.hint
    with pytest.raises(ConfigError) as wrong:
        made(tmp_path, written(tmp_path, "area,price\n1,2\n"), target="prize")
    assert "price" in wrong.value.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"a": 1}\n{"a": [2]}\n', ("row 2", "column 'a'", "list")),
        ('{"a": 1}\n[1]\n', ("row 2", "must be an object")),
        ('{"a": 1}\n{"a": \n', ("row 2", "not valid JSON")),
    ],
)
def test_bad_json_lines(tmp_path: Path, content: str, words: tuple[str, ...]) -> None:
    with pytest.raises(DataError) as caught:
        made(tmp_path, written(tmp_path, content, "t.jsonl"))
    for word in words:
        assert word in caught.value.message


def test_bad_containers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="suffix"):
        made(tmp_path, written(tmp_path, GOOD, "t.xlsx"))
    with pytest.raises(DataError, match="cannot be read"):
        made(tmp_path, written(tmp_path, b"PK\x03\x04 not a zip", "t.zip"))
    with pytest.raises(DataError, match="cannot be read"):
        made(tmp_path, written(tmp_path, gzip.compress(GOOD.encode())[:-12], "t.csv.gz"))
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", GOOD)
        archive.writestr("b.csv", GOOD)
    with pytest.raises(DataError, match="2 tables"):
        made(tmp_path, tmp_path / "two.zip")
    with pytest.raises(DataError, match="does not exist"):
        made(tmp_path, tmp_path / "none.csv")


def forms(tmp_path: Path) -> list[Path]:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("folder/t.csv", GOOD)
        archive.writestr("readme.txt", "not a table")
    lines = [{"area": 120, "district": "park, north", "price": 300}, {"district": "mill", "price": 200, "area": None},
             {"price": 150.5, "district": "park", "area": 80}]  # fmt: skip
    return [
        written(tmp_path, GOOD),
        written(tmp_path, GOOD.replace("\n", "\r\n"), "crlf.csv"),
        written(tmp_path, "\ufeff" + GOOD, "bom.csv"),
        written(tmp_path, GOOD.replace('"park, north"', "park@ north").replace(",", ";").replace("@", ","), "semi.csv"),
        written(tmp_path, GOOD.replace('"park, north"', "park@ north").replace(",", "\t").replace("@", ","), "t.tsv"),
        written(tmp_path, gzip.compress(GOOD.encode()), "t.csv.gz"),
        written(tmp_path, "".join(json.dumps(line) + "\n" for line in lines), "t.jsonl"),
        tmp_path / "z.zip",
    ]


def test_every_form_of_a_table_reads_alike(tmp_path: Path) -> None:
    for path in forms(tmp_path):
        table = made(tmp_path, path, target="price")
        assert [c.name for c in table.columns] == ["area", "district", "price"], path
        area, district, price = (table.column(name) for name in ("area", "district", "price"))
        np.testing.assert_array_equal(area.values, [120, np.nan, 80])
        assert [district.categories[i] for i in district.values] == ["park, north", "mill", "park"]
        np.testing.assert_array_equal(price.values, [300, 200, 150.5])
        assert area.missing.tolist() == [False, True, False]


def test_what_columns_are(tmp_path: Path) -> None:
    rows = "".join(
        f"{i},{i % 7},0{i % 5},{'yes' if i % 2 else 'no'},remark {i * i},{i / 3:.4f}\n" for i in range(1, 61)
    )
    path = written(tmp_path, "order,count,code,flag,remark,share\n" + rows)
    table = made(tmp_path, path, categories=["count"])
    assert {c.name: c.kind for c in table.columns} == {
        "count": "category", "code": "category", "flag": "category", "share": "number",
    }  # fmt: skip
    assert {c["name"]: c["kind"] for c in table.left_out} == {"order": "row number", "remark": "text"}
    assert table.column("count").categories == tuple("0123456")
    assert made(tmp_path, path, drop=["remark", "code"]).columns[-1].name == "share"


def test_rows_without_a_target_are_left_out_and_equal_rows_stay_together(tmp_path: Path) -> None:
    rows = "".join(f"{i % 40},{i % 40 * 2}\n" for i in range(400)) + "7,\n8,NA\n"
    table = made(tmp_path, written(tmp_path, "a,b\n" + rows), target="b")
    assert len(table) == 400
    for value in range(40):
        assert len(set(table.split[table.column("a").values == value])) == 1
    assert set(table.split) == {0, 2}


def test_a_damaged_artifact_is_refused(tmp_path: Path) -> None:
    made(tmp_path, written(tmp_path, GOOD))
    arrays = tmp_path / "run" / "data" / ARRAYS
    arrays.write_bytes(arrays.read_bytes()[:40])
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_table(tmp_path / "run" / "data")
