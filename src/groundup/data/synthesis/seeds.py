"""Seed tasks: what self-instruct starts from. Files in the form that Self-Instruct published, or twenty of our own.

{"instruction": "...", "instances": [{"input": "...", "output": "..."}], "is_classification": false}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import DataError
from ..documents import read_rows


@dataclass(frozen=True, kw_only=True)
class SeedTask:
    instruction: str
    instances: tuple[tuple[str, str], ...]
    """(input, output); an empty input where the instruction says all."""
    is_classification: bool = False


def read_seed_tasks(path: Path) -> list[SeedTask]:
    """Tasks of a JSON-lines file. DataError names the row and field."""
    if not path.is_file():
        raise DataError(f"the seed tasks {path} do not exist", hint="leave seeds out to use the built-in ones")
    return [_task(row, f"{path}, row {number}") for number, row in read_rows(path)]


def _task(row: Mapping[str, Any], where: str) -> SeedTask:
    instruction, instances = row.get("instruction"), row.get("instances")
    if not isinstance(instruction, str) or not instruction.strip():
        raise DataError(f"{where}: instruction must be text")
    if not isinstance(instances, list) or not instances:
        raise DataError(f"{where}: instances must be a list of at least one {{input, output}}")
    pairs = []
    for i, instance in enumerate(instances):
        if not isinstance(instance, Mapping) or not isinstance(instance.get("output"), str):
            raise DataError(f"{where}: instances[{i}].output must be text")
        pairs.append((str(instance.get("input") or ""), instance["output"]))
    return SeedTask(
        instruction=instruction.strip(), instances=tuple(pairs), is_classification=bool(row.get("is_classification"))
    )


def _plain(instruction: str, output: str, given: str = "") -> SeedTask:
    return SeedTask(instruction=instruction, instances=((given, output),))


def _classes(instruction: str, *instances: tuple[str, str]) -> SeedTask:
    return SeedTask(instruction=instruction, instances=instances, is_classification=True)


BUILT_IN_SEEDS: tuple[SeedTask, ...] = (
    _plain(
        "Explain to a child why the sky looks blue.",
        "Sunlight is made of many colours. Air scatters blue light more than the others, so blue comes to us from every part of the sky.",
    ),
    _plain(
        "Rewrite the sentence so that it sounds polite.",
        "Could you please send me the report by noon?",
        "Send me the report by noon.",
    ),
    _plain(
        "Write a short thank-you note to a neighbour who watered the plants.",
        "Dear Ada, thank you for watering my plants. They look better than when I left. Coffee is on me this weekend.",
    ),
    _plain(
        "List three things to check before a long bicycle tour.",
        "1. Tyre pressure and tread.\n2. Brakes and chain.\n3. Lights, a pump and a spare tube.",
    ),
    _plain(
        "Turn the list into one sentence.",
        "The kitchen needs flour, eggs and a new whisk.",
        "kitchen needs: flour; eggs; new whisk",
    ),
    _plain(
        "Give a title of at most five words to the paragraph.",
        "A Lighthouse Without a Keeper",
        "The old lamp still turns each night, though nobody has climbed the stairs for thirty years.",
    ),
    _plain(
        "How many minutes are there in three and a half hours? Show the steps.",
        "One hour has 60 minutes. 3 x 60 = 180 and half an hour is 30. 180 + 30 = 210 minutes.",
    ),
    _plain(
        "Find the mistake in the line of Python and correct it.",
        "An assignment cannot be a condition; the comparison is written with two signs: if x == 3:",
        "if x = 3:",
    ),
    _plain(
        "Describe the taste of a lemon without using the word sour.",
        "It is sharp and bright; it pulls the mouth together and makes the eyes narrow.",
    ),
    _plain("Put the words into alphabetical order.", "apple, cedar, maple, willow", "willow, apple, maple, cedar"),
    _plain(
        "Suggest a dinner that can be cooked in one pot with lentils.",
        "Fry an onion with cumin, add lentils, carrots and stock, cook for 25 minutes and finish with lemon juice.",
    ),
    _plain(
        "Summarise the message in one sentence.",
        "The meeting moves to Thursday at ten because the room is being painted.",
        "Hello all, the room we use on Wednesdays will be painted this week. So we shall meet on Thursday instead, same time, ten o'clock.",
    ),
    _plain(
        "Write two lines of a poem about a train at night.",
        "A row of yellow windows crossed the hill,\nand after it the dark was darker still.",
    ),
    _plain("What is the plural of the word?", "mice", "mouse"),
    _plain(
        "Give one argument for and one against working at night.",
        "For: it is quiet, so long work is not interrupted. Against: sleep by day is shorter and lighter.",
    ),
    _classes(
        "Say whether the review is positive or negative.",
        ("The soup was cold and nobody came when we called.", "negative"),
        ("I would walk an hour for that bread again.", "positive"),
    ),
    _classes(
        "Is the sentence a question, a command or a statement?",
        ("Close the window before you leave.", "command"),
        ("The river is high this year.", "statement"),
    ),
    _classes(
        "Decide whether the two numbers are equal, or which one is larger.",
        ("0.5 and 1/2", "equal"),
        ("0.9 and 0.11", "the first"),
    ),
    _classes(
        "Name the language of the text.",
        ("Wo ist der Bahnhof?", "German"),
        ("Where is the station?", "English"),
    ),
    _classes(
        "Sort the e-mail into one of: invoice, invitation, complaint.",
        ("We are happy to ask you to our summer party on Saturday.", "invitation"),
        ("The lamp arrived broken for the second time.", "complaint"),
    ),
)
