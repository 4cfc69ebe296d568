"""What a training method is given, and what it gives the loop: the joint between the `train` stage and its methods.

A method (train/methods) opens a data artifact for one kind of objective. It decides what is trained, on which examples, how
progress is measured and how the result is saved; the stage plans, and the loop does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ..core.recipe import StageContext
from ..models.decoder import Decoder
from ..models.network import Network
from ..nn.protocols import Batch, ExampleSource, Objective
from ..tokenizers.chat_template import DEFAULT_CHAT_TEMPLATE, ChatTemplate
from .settings import Settings

if TYPE_CHECKING:
    from ..core.protocols import Tokenizer
    from .stage import TrainStage

Evaluate = Callable[[nn.Module, Settings], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Start:
    """What every method begins from."""

    stage: TrainStage
    context: StageContext
    directory: Path
    """The model that training starts from."""
    data: Path
    model: Any
    """A Decoder, or a network of another kind (groundup.models.network) where a method is for one."""
    tokenizer: Tokenizer
    template: ChatTemplate | None
    """The directory's chat template; None if it has none."""
    context_tokens: int

    @property
    def batch_rows(self) -> int:
        """Examples at once."""
        return self.stage.micro_batch_size or self.stage.batch_size

    @property
    def trusted_parts(self) -> tuple[str, ...]:
        return tuple(self.context.swaps.values())

    @cached_property
    def chat_template(self) -> ChatTemplate:
        """The directory's, or the one that a model gets which had none."""
        return self.template or ChatTemplate(DEFAULT_CHAT_TEMPLATE)

    def save(self, model: Decoder | Network, directory: Path, *, template: ChatTemplate | None = None) -> None:
        """A whole model directory: tokenizer, template (None: the start's own), generation settings, weights."""
        from ..models.directory import copy_tokenizer_files, read_generation_config, save_model

        template = template or self.template
        if self.stage.adapter is not None and isinstance(model, Decoder):
            from ..adapt import merge, save_adapter

            alone = self.stage.save == "adapter"
            save_adapter(model, directory if alone else directory / "adapter", name="default", base=str(self.directory))
            if alone:
                return
            model = merge(model, "default")
        copy_tokenizer_files(self.directory, directory)
        generation = read_generation_config(self.directory)
        source = None if template is None else template.source
        made = (*self.context.figures, self.context.name)
        swaps = {place: part for place, part in self.context.swaps.items() if place.partition(".")[0] in made}
        save_model(model, directory, chat_template=source, generation=generation, swaps=swaps)


@dataclass(frozen=True, kw_only=True)
class Training:
    """What the loop needs of a method."""

    model: nn.Module
    """All that the objective is given; parameters with requires_grad are trained."""
    objective: Objective
    source: ExampleSource
    evaluate: Evaluate
    """Figures on held-out data, called with no gradients and the model in evaluation mode."""
    save: Callable[[Path], None]
    """Write the trained model's directory."""
    num_examples: int
    """One epoch."""
    example_name: str
    """What one is, in words."""
    context_tokens: int
    """Longest row: what position tables and the count of operations are made for."""
    example_tokens: int = 0
    """Positions of one example; 0: context_tokens."""
    template: ChatTemplate | None = None
    """How the recipe's sample prompts are put to the model; None: as plain text."""
    figures: Callable[[], Mapping[str, Any]] = dict
    """What else belongs in the stage's figures at the end."""
    close: Callable[[], None] = field(default=lambda: None)


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Mean loss over the same held-out examples every time."""

    objective: Objective
    examples: Sequence[Any]
    batch_rows: int
    bytes_per_token: float = 0.0
    """UTF-8 bytes of held-out text per token; 0 where bits per byte make no sense."""
    metrics: tuple[str, ...] = ()
    """Names of the objective's metrics that are averaged too."""

    def batches(self) -> Iterator[Batch]:
        for i in range(0, len(self.examples), self.batch_rows):
            yield self.objective.collate(self.examples[i : i + self.batch_rows])

    def __call__(self, model: nn.Module, settings: Settings) -> dict[str, float]:
        """val_loss, val_bits_per_byte where bytes are known, and val_<metric>; {} without examples."""
        import math

        sums: dict[str, float] = {}
        weight = 0.0
        for batch in self.batches():
            with settings.autocast():
                output = self.objective.loss(model, batch)
            found = {"loss": output.loss, **{name: output.metrics[name] for name in self.metrics}}
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + float(value) * batch.weight
            weight += batch.weight
        if not weight:
            return {}
        figures = {f"val_{name}": value / weight for name, value in sums.items()}
        if self.bytes_per_token:
            figures["val_bits_per_byte"] = figures["val_loss"] / math.log(2) / self.bytes_per_token
        return figures
