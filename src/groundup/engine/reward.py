"""A reward model's directory as something that scores conversations (groundup.core.protocols.Rewarder): for best-of-n, rejection
sampling and reinforcement learning. Left out: rewards of other libraries that read the prompt and the answer apart.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.artifact import read_json
from ..core.errors import ArtifactError, ModelError
from ..core.protocols import Tokenizer
from ..core.types import Message
from ..models.facts import read_model_config, resolve_model_directory
from ..models.families.heads import head_kind
from ..models.heads import HeadedDecoder, load_headed
from ..objectives.reward import REWARD_FILE, grade_logprobs, scores_of
from ..objectives.sft import ChatExample
from ..tokenizers import load_tokenizer
from ..tokenizers.chat_ids import chat_ids
from ..tokenizers.chat_template import ChatTemplate, load_chat_template


def is_reward_model(directory: Path | str) -> bool:
    """Whether a directory (or run) holds a model that scores sequences: one output, or a `reward.json`."""
    try:
        directory = resolve_model_directory(Path(directory))
        raw = read_model_config(directory)
    except (ArtifactError, ModelError):  # whoever opens it will say what is wrong
        return False
    return head_kind(raw) == "sequence" and (raw.get("num_labels") == 1 or (directory / REWARD_FILE).is_file())


class RewardScorer:
    def __init__(
        self,
        model: HeadedDecoder,
        tokenizer: Tokenizer,
        template: ChatTemplate,
        *,
        weights: Sequence[float] = (1.0,),
        thresholds: Sequence[float] = (),
    ) -> None:
        """weights: of the model's outputs in the score. thresholds: of an ordinal model's grades."""
        if model.kind != "sequence" or len(weights) != len(model.labels):
            raise ModelError(
                f"a reward model has a sequence head and a weight for each output, not a {model.kind} head with "
                f"{len(model.labels)} outputs and {len(weights)} weights"
            )
        self.model, self.tokenizer, self.template = model.eval(), tokenizer, template
        self.weights, self.thresholds = tuple(weights), tuple(thresholds)
        self._lock = threading.Lock()
        """Tables of positions grow in place."""

    @classmethod
    def load(cls, directory: Path | str, *, trusted_parts: Collection[str] = (), dtype: Any = None) -> RewardScorer:
        """A model directory, or a run that made one. ModelError if it is no reward model or has no chat template."""
        directory = resolve_model_directory(Path(directory))
        if not is_reward_model(directory):
            raise ModelError(f"{directory} is no reward model: it has no sequence head with one output",
                             hint="train one with objective.type: reward")  # fmt: skip
        template = load_chat_template(directory)
        if template is None:
            raise ModelError(f"{directory} has no chat template, so conversations cannot be put to it")
        model = load_headed(directory, dtype=dtype, trusted_parts=trusted_parts)
        told: Mapping[str, Any] = read_json(directory / REWARD_FILE) if (directory / REWARD_FILE).is_file() else {}
        weights = told.get("weights") or {label: 1.0 for label in model.labels}
        if set(weights) != set(model.labels):
            raise ModelError(
                f"{REWARD_FILE} weighs {', '.join(weights)}, the outputs of the model are {', '.join(model.labels)}"
            )
        return cls(
            model,
            load_tokenizer(directory),
            template,
            weights=[float(weights[label]) for label in model.labels],
            thresholds=[float(value) for value in told.get("thresholds", ())],
        )

    def scores(self, conversations: Sequence[Sequence[Message]]) -> list[float]:
        """A number for each, higher is better; only differences have a meaning."""
        found: list[float] = (self.outputs(conversations) @ np.asarray(self.weights)).tolist()
        return found

    def outputs(self, conversations: Sequence[Sequence[Message]]) -> np.ndarray:
        """[n, L]: every output of the model, in the order of its labels."""
        encoded = [self._encoded(conversation) for conversation in conversations]
        if not encoded:
            return np.zeros((0, len(self.weights)))
        with self._lock:
            return scores_of(self.model, encoded)

    def grades(self, conversations: Sequence[Sequence[Message]]) -> list[float]:
        """The expected grade of each, of a model that was trained on grades."""
        if not self.thresholds:
            raise ModelError("this reward model was not trained on grades, so it can give none",
                             hint="train one with objective.type: reward_ordinal")  # fmt: skip
        scores = torch.tensor(self.scores(conversations), dtype=torch.float64)
        shares = grade_logprobs(scores, torch.tensor(self.thresholds, dtype=torch.float64)).exp()
        found: list[float] = (shares @ torch.arange(shares.shape[1], dtype=torch.float64)).tolist()
        return found

    def _encoded(self, conversation: Sequence[Message]) -> ChatExample:
        ids = np.asarray(chat_ids(self.template, self.tokenizer, conversation), np.int32)
        return ChatExample(ids, np.zeros(len(ids), bool))

    def close(self) -> None:
        """Nothing to be closed; an engine has it too."""
