"""The stage `synthesize`: instruction data from templates, from a model of the run, or from any endpoint.

It stands here and not with the makers (groundup.data.synthesis) because it knows endpoints; the models of the run are opened
through the context, so it knows no engine. Every completion is kept in the stage's scratch as soon as it has ended: a run that
was killed, or whose endpoint failed, goes on without asking for it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..core.artifact import identity, read_seal
from ..core.config import Use, load_user_part, node
from ..core.errors import ConfigError, DataError
from ..core.protocols import Generator, Scorer
from ..core.recipe import StageContext
from ..data.split import SPLITS, Split
from ..data.steps import build
from ..data.synthesis.conversations import Conversations
from ..data.synthesis.filters import STANDARD_FILTERS, Filter, FilterNode
from ..data.synthesis.made import Made, Maker
from ..data.synthesis.personas import Personas
from ..data.synthesis.reasoning import ReasoningTraces
from ..data.synthesis.self_instruct import SelfInstruct
from ..data.synthesis.template_conversations import TemplateConversations
from ..data.synthesis.tool_traces import TemplateToolTraces, ToolTraces
from ..data.synthesis.write import write_made, write_made_card
from .cache import CachedGenerator
from .config import EndpointConfig

MakerNode: Any = node(
    TemplateConversations, TemplateToolTraces, SelfInstruct, Personas, Conversations, ToolTraces, ReasoningTraces
)
EndpointNode: Any = node(EndpointConfig)
_NO_USAGE = {"completions": 0, "prompt_tokens": 0, "completion_tokens": 0}


@dataclass(frozen=True, kw_only=True)
class SynthesizeStage:
    """Make instruct rows, filter them, and say in a card what they are."""

    makers: tuple[MakerNode, ...] = (TemplateConversations(), TemplateToolTraces())
    num_rows: int = 500
    """Rows wanted of each maker, before the filters."""
    model: str | None = None
    """Stage of the model that the makers ask."""
    endpoint: EndpointNode | None = None
    """The endpoint that the makers ask instead; `use:` names a Generator of your own."""
    scorer: str | None = None
    """Stage of the model that filters score with; null takes `model`."""
    filters: tuple[FilterNode, ...] = STANDARD_FILTERS
    """In this order."""
    split: Split = Split(by="document")
    type: Literal["synthesize"] = "synthesize"
    kind = "instruct"

    def __post_init__(self) -> None:
        if self.num_rows < 1:
            raise ConfigError(f"must be at least 1, not {self.num_rows}", path="num_rows")
        if not self.makers:
            raise ConfigError("needs at least one maker", path="makers")
        if self.model is not None and self.endpoint is not None:
            raise ConfigError("name a stage's model or an endpoint, not both", path="model", hint="model=null")
        asking = [maker.type for maker in self.makers if not isinstance(maker, Use) and maker.needs_model]
        if asking and self.model is None and self.endpoint is None:
            raise ConfigError(f"{asking[0]} asks a model, and none is named", path="model",
                              hint="endpoint.base_url=http://127.0.0.1:8000/v1 endpoint.model=NAME, or model=STAGE")  # fmt: skip
        scoring = [part.type for part in self.filters if not isinstance(part, Use) and part.needs_scorer]
        if scoring and self.scorer is None and self.model is None:
            raise ConfigError(f"the filter {scoring[0]} needs a model of the run to score with", path="scorer",
                              hint="endpoints score no given text: scorer=STAGE")  # fmt: skip

    def inputs(self) -> Sequence[str]:
        return tuple(dict.fromkeys(name for name in (self.model, self.scorer) if name is not None))

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        makers: list[Maker] = [build(part, context.recipe_directory) for part in self.makers]
        filters: list[Filter] = [build(part, context.recipe_directory) for part in self.filters]
        rows: list[Made] = []
        maker_rows = []
        with self._generator(context) as generator:
            for maker in makers:
                made = self._make(maker, generator, context)
                rows += made
                maker_rows.append({"maker": maker.type, "wanted": self.num_rows, **_counts(made)})
            usage = {key: generator.figures[key] for key in _NO_USAGE} if generator is not None else dict(_NO_USAGE)
            name = generator.capabilities.model if generator is not None else ""
        rows, filter_rows = self._filter(rows, filters, context)
        if not any(made.dropped is None for made in rows):
            worst = Counter(m.dropped for m in rows).most_common(1)
            raise DataError(
                f"no row was left of {len(rows)}" + (f"; most were dropped for: {worst[0][0]}" if worst else ""),
                hint="look at the completions under the run's scratch folder; a small model may not follow such prompts",
            )
        by_split = write_made(rows, context.directory, self.split)
        card = write_made_card(
            context.directory,
            rows,
            by_split,
            source=", ".join(maker.type for maker in makers),
            model=name,
            seed=context.seed,
            makers=maker_rows,
            filters=filter_rows,
            prompts={f"{maker.type}: {key}": text for maker in makers for key, text in maker.prompts().items()},
            usage=usage,
        )
        return {
            "examples": {split: len(by_split[split]) for split in SPLITS},
            "kinds": card["kinds"],
            "makers": maker_rows,
            "filters": filter_rows,
            "left_out": card["left_out"],
            "diversity": {k: v for k, v in card["diversity"].items() if isinstance(v, float)},
            "usage": usage,
        }

    @contextmanager
    def _generator(self, context: StageContext) -> Iterator[CachedGenerator | None]:
        endpoint: Any = self.endpoint
        if self.model is None and endpoint is None:
            yield None
            return
        if self.model is not None:
            directory = context.inputs[self.model]
            source = identity(read_seal(directory))
            opened = context.open_model(directory, trusted_parts=tuple(context.swaps.values()))
        elif isinstance(endpoint, Use):
            source = endpoint.use
            opened = load_user_part(endpoint, root=context.recipe_directory)(**endpoint.args)
        else:
            source = f"{endpoint.base_url}#{endpoint.model}"
            opened = context.open_model(replace(endpoint, whole=True))
        generator = CachedGenerator(opened, context.scratch / "completions", source=source)
        try:
            yield generator
        finally:
            generator.close()

    def _make(self, maker: Maker, generator: Generator | None, context: StageContext) -> list[Made]:
        made = []
        with context.progress.task(maker.type, total=self.num_rows) as task:
            for row in maker.make(generator, count=self.num_rows, seed=context.seed):
                made.append(row)
                if row.dropped is None:
                    task.advance(1)
        return made

    def _filter(
        self, rows: list[Made], filters: Sequence[Filter], context: StageContext
    ) -> tuple[list[Made], list[dict[str, Any]]]:
        figures: list[dict[str, Any]] = []
        for part in filters:
            before = Counter(made.dropped for made in rows)
            if part.needs_scorer:
                with self._scorer(context) as scorer:
                    rows = list(part(rows, scorer))
            else:
                rows = list(part(rows, None))
            fresh = Counter(made.dropped for made in rows) - before
            del fresh[None]
            figures.append(
                {
                    "filter": part.type,
                    "kept": sum(made.dropped is None for made in rows),
                    "dropped": sum(fresh.values()),
                    "reasons": {str(reason): number for reason, number in sorted(fresh.items(), key=str)},
                }
            )
        return rows, figures

    @contextmanager
    def _scorer(self, context: StageContext) -> Iterator[Scorer]:
        name = self.scorer or self.model
        if name is None:
            raise ConfigError("a filter needs a model of the run to score with", path=f"{context.name}.scorer")
        model = context.open_model(context.inputs[name], trusted_parts=tuple(context.swaps.values()))
        try:
            yield model
        finally:
            model.close()


def _counts(made: Sequence[Made]) -> dict[str, int]:
    good = sum(row.dropped is None for row in made)
    return {"good": good, "refused": len(made) - good}
