"""What each figure means, in one sentence a newcomer understands: one place, used by the report and the terminal's card."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Meaning:
    title: str
    sentence: str
    higher_is_better: bool | None = None
    share: bool = False
    """Shown in per cent."""


MEASURES: dict[str, Meaning] = {
    "bits_per_byte": Meaning(
        title="Bits per byte",
        sentence="How many bits the model would need to store one byte of text it has never seen; 8 is no knowledge at "
        "all, and a better guesser of what comes next needs fewer.",
        higher_is_better=False,
    ),
    "perplexity": Meaning(
        title="Perplexity",
        sentence="Between how many equally likely next units the model is undecided on average; it can only be compared "
        "between models that cut text into the same units.",
        higher_is_better=False,
    ),
    "exact_match": Meaning(
        title="Exact answers",
        sentence="Share of held-out questions answered word for word as the documentation does, after spaces, quotes and "
        "a final full stop are set aside; word overlap (F1) gives credit for a part of the words.",
        higher_is_better=True,
        share=True,
    ),
    "solved": Meaning(
        title="Problems solved",
        sentence="Share of held-out problems whose final answer is exactly right.",
        higher_is_better=True,
        share=True,
    ),
    "win_rate": Meaning(
        title="Verified wins",
        sentence="Share of problems on which a model's answer is better than the other's, decided by checking both and not by "
        "anybody's taste; 50 % is no better and no worse.",
        higher_is_better=True,
        share=True,
    ),
    "functions_compile": Meaning(
        title="Functions that compile",
        sentence="Share of functions, continued from a held-out signature and docstring, that are valid Python with a body; "
        "nothing is run, so it says that the grammar was learned, not that the code is right.",
        higher_is_better=True,
        share=True,
    ),
}

BASELINES: dict[str, str] = {
    "uniform": "Every byte equally likely: knows nothing.",
    "byte unigram": "Knows only how common each byte is in the training text.",
    "token unigram": "Knows only how common each token of the model's own tokenizer is in the training text.",
    "xz": "The xz compressor at its strongest on the held-out text alone.",
    "xz, primed": "The same compressor after it has read a part of the training text.",
    "most common answer": "Gives the answer that training questions of the same kind have most often.",
    "nearest training example": "Looks up the most similar training example and copies its answer: memory without learning.",
    "byte unigram samples": "Bytes drawn by how common each is in the training text.",
}
"""Name of a baseline in an evaluation table -> what it is."""

KINDS: dict[str, str] = {
    "summary": "what does this function do?",
    "module": "which module has this name?",
    "signature": "which signature fits this description?",
    "complete": "complete this function",
    "continue": "go on with this passage",
    "source": "which document is this passage from?",
    "opening": "how does this document begin?",
}
"""Kind of question -> the question."""

FIGURES: dict[str, str] = {
    "documents_in": "Documents the source gave.",
    "documents_kept": "Documents left after cleaning.",
    "documents_dropped": "Documents left out, each with its reason.",
    "text_bytes": "Bytes of text in UTF-8.",
    "loss": "Average surprise per token on training text, in nats; lower is better.",
    "val_loss": "The same on held-out text, which the model does not learn from.",
    "tokens_per_second": "Tokens learned from per second.",
    "mfu": "Share of the machine's measured peak that went into the model's arithmetic.",
    "lr": "Learning rate: how far each step moves the weights.",
    "grad_norm": "Length of the gradient before clipping.",
    "vocab_size": "Number of different tokens.",
    "seconds": "Wall-clock time.",
    "reward": "What the samples of a step earned on average.",
    "rewards/margins": "By how much the better completion's reward is the higher, in pairs that it learns from.",
    "rewards/accuracies": "Share of pairs (or of judged completions) that the model now puts the right way round.",
    "val_rewards/margins": "By how much the better completion's reward is the higher, in held-out pairs.",
    "val_rewards/accuracies": "Share of held-out pairs (or judged completions) that the model puts the right way round.",
    "val_calibration_error": "How far the reward model's stated confidence is from how often it is right; 0 is honest.",
    "pass_rate": "Share of a step's samples that the task judged right.",
    "kl": "How far the policy has moved from its reference model, in nats a token.",
    "entropy": "How undecided the policy is about its next token, in nats.",
    "completion_tokens": "Average length of a step's samples.",
    "cut_off": "Share of samples that ended only because they reached the limit.",
    "uniform_groups": "Share of prompts whose samples all earned the same, so that nothing could be learned from them.",
    "engine_gap": "Difference between the engine's log-probabilities and the trainer's; nothing but rounding.",
    "perplexity_unit": "What perplexity is counted per.",
}
"""Meanings of figures of any stage, by their name."""


def meaning_of(name: str) -> str:
    """The sentence for a figure, or "" when there is none; `a.b.c` is looked up by its parts, first to last."""
    for part in name.split("."):
        if part in MEASURES:
            return MEASURES[part].sentence
        if part in FIGURES:
            return FIGURES[part]
    return ""
