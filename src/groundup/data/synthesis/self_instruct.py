"""Self-Instruct (Wang et al. 2022): from a pool of tasks a model invents new ones, says what kind they are, and does them.

As in the paper: eight examples in the prompt, six from the seeds and two of the model's own; a new instruction stays when its
ROUGE-L with every instruction of the pool is below 0.7; tasks of classification are given their label first, so that not
all instances have the same one; instances whose output is empty or copies the input, and inputs with two different
outputs, are dropped. Departures: one instance a task as one conversation, and words of our own in the prompts.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from ...core.errors import ConfigError
from ...core.protocols import Generator
from ...core.types import Message
from ...text.overlap import rouge_l, words
from .made import Asking, Made, ask, seed_of, turn
from .seeds import BUILT_IN_SEEDS, SeedTask, read_seed_tasks

INVENT = (
    "Below is a numbered list of tasks that people give to an assistant that reads and writes text. Go on with the list: "
    "new tasks, each different from all others in subject and form, one a line, none that needs pictures, sound or the web."
)
CLASSIFY = "Is this a task of classification, that is, one whose answers come from a small fixed set of labels? Answer yes or no."
INPUT_FIRST = (
    "Make one example of the task. If the task needs something to work on, write it after `Input:`; if it does not, write "
    "`Input: none`. Then write the right answer after `Output:`."
)
OUTPUT_FIRST = (
    "Make one example of this task of classification. Write one of its possible labels after `Output:` and then, after "
    "`Input:`, something that has this label. Choose another label than in the examples before."
)
_ITEM = re.compile(r"^\s*\d+\s*[.):]\s*(.+)$", re.MULTILINE)
_FIELD = re.compile(r"^\s*(input|output)\s*:[ \t]*", re.IGNORECASE | re.MULTILINE)
# What a model of text cannot do; the paper's list (its released code) is of the same kind.
_UNFIT = frozenset(
    (
        "image",
        "images",
        "picture",
        "photo",
        "graph",
        "graphs",
        "plot",
        "draw",
        "video",
        "audio",
        "music",
        "website",
        "url",
    )
)
_NOTHING = frozenset(("", "none", "n/a", "no input", "<noinput>"))


@dataclass(frozen=True, kw_only=True)
class SelfInstruct:
    """New instructions with answers, grown from seed tasks."""

    seeds: str | None = None
    """JSON-lines file of seed tasks; null takes the built-in ones."""
    num_seed_examples: int = 6
    num_made_examples: int = 2
    """Of the pool's own, once there are any; seeds take their place before."""
    max_similarity: float = 0.7
    """ROUGE-L with any instruction of the pool. Section 2.2 of the paper."""
    min_words: int = 3
    max_words: int = 150
    attempts_per_row: int = 8
    """Prompts and answers tried for each wanted row before giving up."""
    asking: Asking = field(default_factory=Asking)
    type: Literal["self_instruct"] = "self_instruct"
    needs_model: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.max_similarity <= 1:
            raise ConfigError(f"must be above 0 and at most 1, not {self.max_similarity}", path="max_similarity")
        if self.num_seed_examples < 1 or self.num_made_examples < 0 or self.attempts_per_row < 1:
            raise ConfigError("needs at least one seed example and one attempt", path="self_instruct")
        if not 1 <= self.min_words <= self.max_words:
            raise ConfigError("min_words must be at least 1 and at most max_words", path="min_words")

    def prompts(self) -> Mapping[str, str]:
        return {"invent": INVENT, "classify": CLASSIFY, "input first": INPUT_FIRST, "output first": OUTPUT_FIRST}

    def make(self, generator: Generator | None, *, count: int, seed: int) -> Iterator[Made]:
        assert generator is not None
        seeds = BUILT_IN_SEEDS if self.seeds is None else tuple(read_seed_tasks(Path(self.seeds).expanduser()))
        pool = [words(task.instruction) for task in seeds]
        made: list[str] = []
        outputs: dict[tuple[str, str], str] = {}
        good = tried = number = 0
        round_number = 0
        while good < count and tried < count * self.attempts_per_row:
            wanted = min(self.asking.batch_size, count - good)
            found = self._invent(generator, seeds, made, seed, round_number, wanted)
            tried += wanted
            fresh: list[tuple[str, bool]] = []
            for instruction in found:
                reason = self._why_not(instruction, pool)
                if reason is None:
                    pool.append(words(instruction))
                    made.append(instruction)
                    fresh.append((instruction, False))
                else:
                    yield _row(number, seed, instruction, "", "", False).drop(self.type, *reason)
                    number += 1
            labelled = self._classify(generator, seeds, [text for text, _ in fresh], seed, round_number)
            for row in self._instances(generator, seeds, labelled, seed, round_number, number):
                row = self._checked(row, outputs)
                number += 1
                if row.dropped is None:
                    good += 1
                yield row
                if good == count:
                    return
            round_number += 1

    def _invent(
        self, generator: Generator, seeds: Sequence[SeedTask], made: Sequence[str], seed: int, number: int, wanted: int
    ) -> list[str]:
        prompts: list[list[Message]] = []
        draws = []
        for i in range(wanted):
            draw = seed_of(seed, self.type, "invent", number, i)
            chance = random.Random(draw)
            own = chance.sample(list(made), min(self.num_made_examples, len(made)))
            rest = min(len(seeds), self.num_seed_examples + self.num_made_examples - len(own))
            shown = [task.instruction for task in chance.sample(list(seeds), rest)] + own
            chance.shuffle(shown)
            listed = "\n".join(f"{n}. {' '.join(text.split())}" for n, text in enumerate(shown, start=1))
            prompts.append([turn("user", f"{INVENT}\n\n{listed}\n{len(shown) + 1}.")])
            draws.append(draw)
        found = []
        for completion in ask(generator, prompts, self.asking, seeds=draws):
            # The first item may come without its number, which stands in the prompt.
            text = completion.text if _ITEM.match(completion.text) else f"0. {completion.text.lstrip()}"
            items = [item.strip() for item in _ITEM.findall(text) if item.strip()]
            if completion.finish_reason == "length" and len(items) > 1:
                items.pop()  # cut off
            found += items
        return found

    def _why_not(self, instruction: str, pool: Sequence[Sequence[str]]) -> tuple[str, str] | None:
        given = words(instruction)
        if not self.min_words <= len(given) <= self.max_words:
            return "length of the instruction", f"{len(given)} words, {self.min_words} to {self.max_words} are allowed"
        if unfit := _UNFIT.intersection(given):
            return "needs more than text", ", ".join(sorted(unfit))
        if not instruction[0].isalnum() and instruction[0] not in "\"'“¿¡":
            return "begins with a mark", instruction[:20]
        similarity, nearest = max(((rouge_l(given, other), other) for other in pool), default=(0.0, ()))
        if similarity >= self.max_similarity:
            return "like another instruction", f"ROUGE-L {similarity:.2f} with: {' '.join(nearest)[:80]}"
        return None

    def _classify(
        self, generator: Generator, seeds: Sequence[SeedTask], instructions: Sequence[str], seed: int, number: int
    ) -> list[tuple[str, bool]]:
        prompts: list[list[Message]] = []
        for i, instruction in enumerate(instructions):
            chance = random.Random(seed_of(seed, self.type, "classify", number, i))
            prompt: list[Message] = [turn("system", CLASSIFY)]
            for task in _both_kinds(seeds, chance):
                prompt += [turn("user", task.instruction), turn("assistant", "yes" if task.is_classification else "no")]
            prompts.append([*prompt, turn("user", instruction)])
        draws = [0] * len(prompts)
        answers = ask(generator, prompts, self.asking, seeds=draws, greedy=True) if prompts else []
        return [(text, answer.text.strip().lower().startswith("yes")) for text, answer in zip(instructions, answers)]

    def _instances(
        self,
        generator: Generator,
        seeds: Sequence[SeedTask],
        labelled: Sequence[tuple[str, bool]],
        seed: int,
        number: int,
        first: int,
    ) -> Iterator[Made]:
        prompts: list[list[Message]] = []
        draws = []
        for i, (instruction, classes) in enumerate(labelled):
            draw = seed_of(seed, self.type, "instance", number, i)
            chance = random.Random(draw)
            prompt: list[Message] = [turn("system", OUTPUT_FIRST if classes else INPUT_FIRST)]
            alike = [task for task in seeds if task.is_classification == classes] or list(seeds)
            for task in chance.sample(alike, min(3, len(alike))):
                given, output = chance.choice(task.instances)
                fields = [f"Input: {given or 'none'}", f"Output: {output}"]
                shown = "\n".join(reversed(fields) if classes else fields)
                prompt += [turn("user", f"Task: {task.instruction}"), turn("assistant", shown)]
            prompts.append([*prompt, turn("user", f"Task: {instruction}")])
            draws.append(draw)
        answers = ask(generator, prompts, self.asking, seeds=draws) if prompts else []
        for i, ((instruction, classes), answer) in enumerate(zip(labelled, answers)):
            given, output = read_instance(answer.text)
            made = _row(first + i, seed, instruction, given, output, classes)
            yield made.drop(self.type, "answer cut off") if answer.finish_reason == "length" else made

    def _checked(self, made: Made, outputs: dict[tuple[str, str], str]) -> Made:
        if made.dropped is not None:
            return made
        instruction, given, output = (str(made.row[key]) for key in ("instruction", "input", "output"))
        if not output:
            return made.drop(self.type, "no output")
        if output == given:
            return made.drop(self.type, "the output copies the input")
        before = outputs.setdefault((instruction, given), output)
        return made if before is output else made.drop(self.type, "the same input again")


def read_instance(text: str) -> tuple[str, str]:
    """(input, output) of a text with `Input:` and `Output:` in either order; a text without them is the output."""
    parts = _FIELD.split(text.strip())
    fields = {name.lower(): value.strip() for name, value in zip(parts[1::2], parts[2::2])}
    if "output" not in fields:
        return ("", "") if "input" in fields else ("", parts[0].strip())
    given = fields.get("input", "")
    return ("" if given.lower().rstrip(".") in _NOTHING else given), fields["output"]


def _both_kinds(seeds: Sequence[SeedTask], chance: random.Random) -> list[SeedTask]:
    chosen = []
    for kind in (True, False):
        alike = [task for task in seeds if task.is_classification == kind]
        chosen += chance.sample(alike, min(3, len(alike)))
    chance.shuffle(chosen)
    return chosen


def _row(number: int, seed: int, instruction: str, given: str, output: str, classes: bool) -> Made:
    question = f"{instruction}\n\n{given}" if given else instruction
    return Made(
        row={
            "messages": [turn("user", question), turn("assistant", output)],
            "kind": "self_instruct",
            "id": f"self_instruct/{seed}/{number}",
            "instruction": instruction,
            "input": given,
            "output": output,
            "is_classification": classes,
        }
    )
