"""The composition root: which stage type is which class, and how a model is opened.

Only names stand here; a class is imported when a recipe asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

STAGES = {
    "documents": "groundup.data.stages:DocumentsStage",
    "train_tokenizer": "groundup.data.stages:TokenizerStage",
    "pack": "groundup.data.stages:PackStage",
    "instruct": "groundup.data.stages:InstructStage",
    "rows": "groundup.data.row_stages:RowsStage",
    "mix": "groundup.data.row_stages:MixStage",
    "synthesize": "groundup.client.stages:SynthesizeStage",
    "problems": "groundup.tasks.stages:ProblemsStage",
    "worked_solutions": "groundup.tasks.stages:WorkedSolutionsStage",
    "judged": "groundup.tasks.stages:JudgedStage",
    "labelled": "groundup.data.labelled:LabelledStage",
    "decoder": "groundup.models.stages:DecoderStage",
    "pretrained": "groundup.models.stages:PretrainedStage",
    "sample": "groundup.data.samples:SampleStage",
    "control": "groundup.train.control:ControlStage",
    "train": "groundup.train.stage:TrainStage",
    "evaluate": "groundup.evals.stages:EvaluateStage",
    "best_of_n": "groundup.evals.best_of_n:BestOfNStage",
    "compare": "groundup.evals.compare:CompareStage",
}


def open_model(
    model: Any,
    *,
    trusted_parts: Collection[str] = (),
    tokenizer: Any = None,
    chat_template: Any = None,
    like: Path | None = None,
    adapters: Mapping[str, Path] | None = None,
    default_adapter: Path | None = None,
    **options: Any,
) -> Any:
    """A model directory, a run, or a live model (with its tokenizer) as a Generator and Scorer: the engine. A reward model's
    directory as a Rewarder. An endpoint
    (an EndpointConfig, its mapping, or `http(s)://host/v1#model`) as a Generator: the client, which the options do not concern.

    Close it when done. `options` are the fields of EngineConfig. A live model is shared, not copied: what an optimizer does to
    its weights the next request sees. Of a directory, `adapters` are chosen by name and `default_adapter` is what requests without
    a name go through. `like` is the model directory that it came from: it says what begins and ends a text.
    """
    endpoint = _endpoint(model)
    if endpoint is not None:
        from ..client import open_endpoint

        return open_endpoint(endpoint)
    from ..engine import Engine, EngineConfig

    if isinstance(model, (str, Path)):
        from ..engine.reward import RewardScorer, is_reward_model

        if is_reward_model(model):
            return RewardScorer.load(model, trusted_parts=trusted_parts)
        engine = Engine.load(
            Path(model),
            config=EngineConfig(**{"dtype": "auto", **options}),
            trusted_parts=trusted_parts,
            adapters=adapters,
        )
        if default_adapter is not None:
            try:
                engine.add_adapter("chosen", default_adapter, default=True)
            except BaseException:
                engine.close()
                raise
        return engine
    ends: dict[str, Any] = {}
    if like is not None:
        from ..engine.load import bos_of, eos_ids_of
        from ..models.directory import read_generation_config

        generation = read_generation_config(like)
        bos_id, add_bos = bos_of(like, generation, tokenizer)
        ends = {"eos_ids": eos_ids_of(generation, tokenizer), "bos_id": bos_id, "add_bos": add_bos}
    return Engine(model, tokenizer, config=EngineConfig(**options), chat_template=chat_template, **ends)


def _endpoint(model: Any) -> Any:
    """The EndpointConfig that `model` is or names; None for anything else."""
    from ..client import EndpointConfig
    from ..core.config import parse

    if isinstance(model, EndpointConfig):
        return model
    if isinstance(model, Mapping):
        return parse(EndpointConfig, model, path="endpoint")
    # A Path has lost one of the two slashes.
    address = re.match(r"(https?):/{1,2}(?=[^/])", str(model)) if isinstance(model, (str, Path)) else None
    return EndpointConfig.from_url(f"{address[1]}://{str(model)[address.end() :]}") if address else None
