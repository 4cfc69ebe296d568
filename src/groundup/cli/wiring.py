"""The composition root: which stage type is which class, and how a model is opened.

Only names stand here; a class is imported when a recipe asks for it.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection, Mapping, Sequence
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
    "parallel": "groundup.data.parallel:ParallelStage",
    "labelled": "groundup.data.labelled:LabelledStage",
    "classify_text": "groundup.train.classic.texts:ClassifyTextStage",
    "compare_classifiers": "groundup.train.classic.compare:CompareClassifiersStage",
    "table": "groundup.data.table:TableStage",
    "linear_algebra": "groundup.foundations.pictured:LinearAlgebraStage",
    "calculus": "groundup.foundations.pictured:CalculusStage",
    "probability": "groundup.foundations.pictured:ProbabilityStage",
    "describe": "groundup.data.describe:DescribeStage",
    "fit_table": "groundup.train.classic.tables:FitTableStage",
    "explore": "groundup.train.classic.explore:ExploreStage",
    "images": "groundup.data.images:ImagesStage",
    "decoder": "groundup.models.stages:DecoderStage",
    "recurrent": "groundup.models.stages:RecurrentStage",
    "feedforward_lm": "groundup.models.stages:FeedForwardStage",
    "ngram": "groundup.models.ngram.stages:NGramStage",
    "arpa": "groundup.models.ngram.stages:ArpaStage",
    "compare_ngrams": "groundup.models.ngram.stages:CompareNGramsStage",
    "seq2seq": "groundup.models.seq2seq.stages:Seq2SeqStage",
    "pretrained": "groundup.models.stages:PretrainedStage",
    "sample": "groundup.data.samples:SampleStage",
    "control": "groundup.train.control:ControlStage",
    "fit_numpy": "groundup.train.fit_numpy:FitNumpyStage",
    "landscapes": "groundup.train.landscapes:LandscapesStage",
    "init_study": "groundup.train.init_study:InitStudyStage",
    "train": "groundup.train.stage:TrainStage",
    "fit": "groundup.train.fit:FitStage",
    "compare_fits": "groundup.train.compare_fits:CompareFitsStage",
    "gradient_range": "groundup.train.gradient_range:GradientRangeStage",
    "evaluate": "groundup.evals.stages:EvaluateStage",
    "write": "groundup.evals.writing:WriteStage",
    "series": "groundup.data.series:SeriesStage",
    "forecast": "groundup.train.forecast:ForecastStage",
    "best_of_n": "groundup.evals.best_of_n:BestOfNStage",
    "translate": "groundup.evals.translate:TranslateStage",
    "compare": "groundup.evals.compare:CompareStage",
}

PREDICTORS: dict[str, str] = {
    "forecast": "groundup.train.forecast:load_forecast",
    "table_model": "groundup.train.classic.table_models:load_table_model",
    "text_classifier": "groundup.foundations.text_classifier:load_text_classifier",
    "network": "groundup.train.networks.predictor:load_network",
    "numpy_network": "groundup.train.fit_numpy:load_numpy_network",
}
"""`type` of predictor.json -> "module:function", function(directory) -> Predictor."""

MODELS: dict[str, str] = {
    "groundup_seq2seq": "groundup.engine.seq2seq:open_translator",
    "ngram": "groundup.engine.ngram:open_ngram",
}
"""`model_type` of config.json, of models that are no decoder -> "module:function", function(directory, **options) -> Generator and
Scorer with `tokenizer`, `capabilities`, `close()` and `prompt_ids`, as the engine has them."""


def predictor_directory(path: Path) -> Path | None:
    """The predictor that `path` is, or the newest one of the run that it is; None for anything else."""
    from ..core.artifact import sealed_in

    if (path / "predictor.json").is_file():
        return path
    return next((made for made, seal in sealed_in(path) if seal.kind == "predictor"), None)


def open_predictor(path: Path) -> Any:
    """The Predictor in a directory, or the newest one of a run. ArtifactError says what was found otherwise."""
    from ..core.artifact import read_json, verify
    from ..core.errors import ArtifactError

    path = Path(path).expanduser()
    if not path.is_dir():
        raise ArtifactError(f"{path} is not a directory", hint="groundup runs lists the runs that exist")
    directory = predictor_directory(path)
    if directory is None:
        raise ArtifactError(
            f"{path} holds no model that predicts", hint=f"for a language model: groundup generate {path} 'text'"
        )
    verify(directory, kind="predictor")
    kind = read_json(directory / "predictor.json").get("type")
    if kind not in PREDICTORS:
        raise ArtifactError(f"{directory} is a predictor of type {kind!r}, which this version does not know")
    return _load(PREDICTORS[kind])(directory)


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _other_model(path: Path) -> str | None:
    """Where the opener of a directory (or run) is whose model is no decoder; None for decoders, and for what is no model
    directory: the engine says what is wrong with it."""
    from ..core.errors import GroundupError
    from ..models.facts import read_model_config, resolve_model_directory

    try:
        return MODELS.get(str(read_model_config(resolve_model_directory(path)).get("model_type")))
    except GroundupError:
        return None


def open_model(
    model: Any,
    *,
    trusted_parts: Collection[str] = (),
    tokenizer: Any = None,
    chat_template: Any = None,
    like: Path | None = None,
    adapters: Mapping[str, Path] | None = None,
    default_adapter: Path | None = None,
    samplers: Sequence[Any] = (),
    **options: Any,
) -> Any:
    """A model directory, a run, or a live model (with its tokenizer) as a Generator and Scorer: the engine. A reward model's
    directory as a Rewarder. An endpoint
    (an EndpointConfig, its mapping, or `http(s)://host/v1#model`) as a Generator: the client, which the options do not concern.

    Close it when done. `options` are the fields of EngineConfig. A live model is shared, not copied: what an optimizer does to
    its weights the next request sees. Of a directory, `adapters` are chosen by name and `default_adapter` is what requests without
    a name go through. `samplers` are the caller's own decoding rules. `like` is the model directory that it came from: it says what
    begins and ends a text.
    """
    from ..core.errors import ConfigError

    endpoint = _endpoint(model)
    if endpoint is not None:
        from ..client import open_endpoint

        if samplers:
            raise ConfigError(f"{model} samples by itself, so it takes no sampler of your own")
        return open_endpoint(endpoint)
    if isinstance(model, (str, Path)):
        from ..models.facts import resolve_model_directory

        other = _other_model(Path(model))  # first, because not every one of them needs torch
        if other is not None:
            if adapters or default_adapter is not None:
                raise ConfigError(f"{model} is no decoder, so it takes no adapters")
            if samplers:
                raise ConfigError(f"{model} is no decoder, so it takes no sampler of your own")
            return _load(other)(resolve_model_directory(Path(model)), **options)

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
            samplers=samplers,
        )
        if default_adapter is not None:
            try:
                engine.add_adapter("chosen", default_adapter, default=True)
            except BaseException:
                engine.close()
                raise
        return engine
    if like is not None and (other := _other_model(like)) is not None:
        return _load(other)(model, tokenizer=tokenizer, like=like, **options)
    ends: dict[str, Any] = {}
    if like is not None:
        from ..engine.load import bos_of, eos_ids_of
        from ..models.directory import read_generation_config

        generation = read_generation_config(like)
        bos_id, add_bos = bos_of(like, generation, tokenizer)
        ends = {"eos_ids": eos_ids_of(generation, tokenizer), "bos_id": bos_id, "add_bos": add_bos}
    return Engine(
        model, tokenizer, config=EngineConfig(**options), chat_template=chat_template, samplers=samplers, **ends
    )


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


def open_tokenizer(path: Path) -> Any:
    """The tokenizer in a tokenizer or model directory, a file of a known format, or the newest of a run. ArtifactError otherwise."""
    from ..core.artifact import sealed_in
    from ..tokenizers import load_tokenizer

    return load_tokenizer(next((made for made, seal in sealed_in(path) if seal.kind == "tokenizer"), path))


def open_inspector(path: Path, *, trusted_parts: Collection[str] = ()) -> Any:
    """A decoder with its attention open (engine/inspector.py): the model directory, or the newest of the run, at `path`."""
    from ..engine.inspector import Inspector
    from ..models.facts import resolve_model_directory

    return Inspector.load(resolve_model_directory(Path(path)), trusted_parts=trusted_parts)


def machine_limits(dtype: str) -> tuple[float, float]:
    """What this machine reaches now: FLOP/s of a matrix product of `dtype`, and bytes/s from memory."""
    import torch

    from ..train.settings import gemm_peak, memory_bandwidth

    threads = torch.get_num_threads()
    return gemm_peak(dtype, threads), memory_bandwidth(threads)
