"""How varied a set of rows is, in figures for its card. Low variety is what made data mostly suffers from."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ...text.overlap import distinct_share, rouge_l, words
from .conversations import carried_share
from .made import Made

# All pairs of this many rows are 20,000 comparisons, about a second.
_MOST_COMPARED = 200


def diversity(rows: Sequence[Made], *, seed: int) -> dict[str, Any]:
    """distinct-1 and -2 of questions and answers; self-ROUGE (of each row's questions, the highest ROUGE-L with any other
    row's; the mean, over at most 200 rows drawn with `seed`); lengths and turns; the most frequent first words.
    """
    questions = ["\n".join(made.questions) for made in rows]
    answers = ["\n".join(made.answers) for made in rows]
    turns = Counter(len(made.questions) for made in rows)
    openings = Counter(" ".join(words(made.questions[0])[:2]) for made in rows if made.questions)
    return {
        "distinct_1_questions": round(distinct_share(questions, 1), 4),
        "distinct_2_questions": round(distinct_share(questions, 2), 4),
        "distinct_1_answers": round(distinct_share(answers, 1), 4),
        "distinct_2_answers": round(distinct_share(answers, 2), 4),
        "self_rouge_questions": round(_self_rouge(questions, seed), 4),
        "mean_question_words": _mean([len(words(text)) for text in questions]),
        "mean_answer_words": _mean([len(words(text)) for text in answers]),
        "carried_share": _mean([carried_share(made.row["messages"]) for made in rows if len(made.questions) > 1]),
        "turns": {str(number): count for number, count in sorted(turns.items())},
        "most_frequent_openings": dict(openings.most_common(5)),
    }


def _self_rouge(texts: Sequence[str], seed: int) -> float:
    chosen = list(texts)
    if len(chosen) > _MOST_COMPARED:
        chosen = random.Random(seed).sample(chosen, _MOST_COMPARED)
    parts = [words(text) for text in chosen]
    nearest = [0.0] * len(parts)
    for i in range(len(parts)):
        for j in range(i):
            value = rouge_l(parts[i], parts[j])
            nearest[i], nearest[j] = max(nearest[i], value), max(nearest[j], value)
    return sum(nearest) / len(nearest) if nearest else 0.0


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 3) if values else 0.0
