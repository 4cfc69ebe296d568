"""A decoder with a linear head in place of its language-model head: a label for a sequence, for each token, or a span.

A reward model is the sequence form with the one label "reward"; a critic is the token form with the one label "value". The
forms, their biases and the place that is read are transformers' own (`...ForSequenceClassification`, `...ForTokenClassification`,
`...ForQuestionAnswering`), and so are the directories: transformers loads what is saved here with equal logits, and what it
saves is read here. Left out: the dropout that
transformers puts before the token head (0.1 in training), and auxiliary losses of experts.

Letters: B rows, T positions, D hidden, L labels, N sequences (several may share a packed row).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ..core.artifact import write_text
from ..core.errors import ModelError
from ..nn.state import SequenceState
from .card import headed_card
from .decoder import Decoder, DecoderConfig
from .directory import check_tensors, empty_decoder, fill, open_directory, own_entries, write_files
from .families.family import OWN, family_named, own_config, write_config
from .families.heads import has_head, head_kind, headed_architecture, headed_entries

HeadKind = Literal["sequence", "token", "span"]
ProblemType = Literal["regression", "single_label_classification", "multi_label_classification"]
SPAN_LABELS = ("start", "end")
_DEFAULT_LABELS = 2
"""What transformers takes where config.json names no labels."""


class HeadedDecoder(nn.Module):
    """`decoder.*`, and `score` (sequence: weight [L, D]; token: weight and bias) or `qa_outputs` (span: weight [2, D], bias).

    The decoder becomes part of this model and its language-model head is taken off; give a copy if it is needed elsewhere.
    """

    def __init__(
        self,
        decoder: Decoder,
        kind: HeadKind,
        labels: Sequence[str],
        *,
        problem_type: ProblemType | None = None,
        pad_token_id: int | None = None,
    ) -> None:
        """labels: the name of each output, in order. problem_type: what the labels mean, kept in config.json.
        pad_token_id: the id that fills up rows; the sequence form finds each row's end by it.

        Raises ModelError for a kind that is unknown, labels that repeat, or a span whose labels are not start and end.
        """
        super().__init__()
        if kind not in get_args(HeadKind):
            raise ModelError(f"a head is {', '.join(get_args(HeadKind))}, not {kind!r}")
        if not labels or len(set(labels)) != len(labels):
            raise ModelError(f"the labels of a head must be different names, at least one, not {list(labels)!r:.120}")
        if kind == "span" and tuple(labels) != SPAN_LABELS:
            raise ModelError(f"a span head has the labels {SPAN_LABELS}, not {tuple(labels)!r:.120}")
        if pad_token_id is not None and not 0 <= pad_token_id < decoder.config.vocab_size:
            raise ModelError(f"pad_token_id {pad_token_id} is no id of a vocabulary of {decoder.config.vocab_size:,}")
        self.decoder = decoder
        decoder.lm_head = _TakenOff()  # type: ignore[assignment]
        self.kind: HeadKind = kind
        self.labels = tuple(labels)
        self.problem_type: ProblemType | None = problem_type
        self.pad_token_id = pad_token_id
        weight = decoder.embed_tokens.weight
        linear = nn.Linear(
            decoder.config.hidden_size,
            len(self.labels),
            bias=kind != "sequence",
            device=weight.device,
            dtype=weight.dtype,
        )
        if kind == "span":
            self.qa_outputs = linear
        else:
            self.score = linear

    @property
    def config(self) -> DecoderConfig:
        return self.decoder.config

    @property
    def head(self) -> nn.Linear:
        """[..., D] -> [..., L]"""
        return self.qa_outputs if self.kind == "span" else self.score

    @property
    def checkpoint_activations(self) -> bool:
        return self.decoder.checkpoint_activations

    @checkpoint_activations.setter
    def checkpoint_activations(self, wanted: bool) -> None:
        self.decoder.checkpoint_activations = wanted

    def forward(self, input_ids: Tensor, state: SequenceState | None = None, *, last: Tensor | None = None) -> Tensor:
        """input_ids [B, T] -> logits: sequence [B, L] (or [N, L]), token [B, T, L], span [B, T, 2].

        state: for packed rows, `SequenceState.for_documents`. last (sequence form only): where each sequence is read, its
        last real token: positions [B], or (row, position) pairs [N, 2] where several share a row; None finds the rightmost
        id that is not `pad_token_id` in each row, and the last column where there is no such id.
        """
        hidden = self.decoder(input_ids, state).hidden
        if self.kind != "sequence":
            if last is not None:
                raise ModelError(f"`last` is for the sequence form; a {self.kind} head reads every position")
            made: Tensor = self.head(hidden)
            return made
        if last is None:
            if state is not None and state.documents is not None:
                raise ModelError("packed rows hold several sequences; say with `last` where each one ends")
            last = last_positions(input_ids, self.pad_token_id)
        if last.dim() == 2:
            read = hidden[last[:, 0], last[:, 1]]
        else:
            read = hidden[torch.arange(len(hidden), device=hidden.device), last]
        scored: Tensor = self.head(read)
        return scored

    def init_state(self, batch_size: int, *, dtype: torch.dtype | None = None) -> SequenceState:
        return self.decoder.init_state(batch_size, dtype=dtype)

    def prepare_positions(self, num_positions: int) -> None:
        self.decoder.prepare_positions(num_positions)

    def unique_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Named parameters, tied ones once."""
        yield from self.named_parameters(remove_duplicate=True)

    def num_parameters(self, *, embeddings: bool = True) -> int:
        head = sum(p.numel() for p in self.head.parameters())
        return self.decoder.num_parameters(embeddings=embeddings) + head

    def flops_per_token(self, context_tokens: int) -> float:
        """As `Decoder.flops_per_token`, with this head's weights in place of the vocabulary's."""
        flops = self.decoder.flops_per_token(context_tokens)
        if self.config.tie_word_embeddings:
            flops -= 6.0 * self.decoder.embed_tokens.weight.numel()
        return flops + 6.0 * self.head.weight.numel()


class _TakenOff(nn.Module):
    """Stands where the language-model head was."""

    def forward(self, hidden: Tensor) -> Tensor:
        raise ModelError(
            "this decoder's language-model head was taken off when it got a head for labels",
            hint="load the model directory again for next-token logits",
        )


def last_positions(input_ids: Tensor, pad_token_id: int | None) -> Tensor:
    """[B]: the rightmost position of each row of [B, T] whose id is not the padding's, as transformers counts it: rows may
    be padded on either side; 0 for a row of nothing but padding. Without a padding id, the last column.
    """
    steps = torch.arange(input_ids.shape[1], device=input_ids.device)
    if pad_token_id is None:
        return steps[-1].expand(input_ids.shape[0])
    return torch.where(input_ids != pad_token_id, steps, 0).amax(dim=1)


def with_head(
    decoder: Decoder,
    kind: HeadKind,
    labels: Sequence[str],
    seed: int,
    *,
    problem_type: ProblemType | None = None,
    pad_token_id: int | None = None,
) -> HeadedDecoder:
    """`decoder` with a head drawn from `seed`: normal with the decoder's initializer_range, biases 0, as transformers does."""
    model = HeadedDecoder(decoder, kind, labels, problem_type=problem_type, pad_token_id=pad_token_id)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        drawn = torch.empty(model.head.weight.shape).normal_(0.0, decoder.config.initializer_range, generator=generator)
        model.head.weight.copy_(drawn)
        if model.head.bias is not None:
            model.head.bias.zero_()
    return model.train(decoder.training)


def save_headed(
    model: HeadedDecoder,
    directory: Path,
    *,
    tokenizer: Any = None,
    chat_template: str | None = None,
    generation: Mapping[str, Any] | None = None,
    card: str | None = None,
    max_shard_bytes: int = 5_000_000_000,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a complete model directory of a headed decoder; it is not sealed (`directory.seal_model` does that).

    The arguments are `save_model`'s. The padding id is the model's own, which the sequence form is read by.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    decoder = model.decoder
    if tokenizer is not None and tokenizer.vocab_size > decoder.config.vocab_size:
        raise ModelError(
            f"the tokenizer has {tokenizer.vocab_size:,} ids, the model only {decoder.config.vocab_size:,}",
            hint="make the model with vocab_size=0 to take the tokenizer's own",
        )
    stored_dtype = dtype or decoder.embed_tokens.weight.dtype
    raw, family = write_config(decoder.config)
    if family is not None and not has_head(family, model.kind):
        raw, family = own_config(decoder.config), None
    parameters = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    entries = own_entries(parameters)
    if family is not None:
        entries = headed_entries(family, decoder.config, model.kind, _head_names(parameters))
    left = set(parameters) - {name for entry in entries for name in entry.ours}
    if left:
        raise ModelError(
            f"the model has {len(left)} tensors that its config does not name, such as {min(left)!r}",
            hint="merge adapters into the weights before saving",
        )
    raw |= {
        "architectures": [headed_architecture(family, model.kind)],
        "num_labels": len(model.labels),
        "id2label": {str(i): label for i, label in enumerate(model.labels)},
        "label2id": {label: i for i, label in enumerate(model.labels)},
        "problem_type": model.problem_type,
        "pad_token_id": model.pad_token_id,
        "classifier_dropout": 0.0,
    }
    write_files(directory, raw, entries, parameters, stored_dtype, tokenizer=tokenizer, chat_template=chat_template,
                generation=generation, max_shard_bytes=max_shard_bytes)  # fmt: skip
    write_text(directory / "README.md", headed_card(directory, raw, model, stored_dtype, card))


def load_headed(
    directory: Path,
    *,
    dtype: torch.dtype | None = None,
    trusted_parts: Collection[str] = (),
    verify: bool = True,
) -> HeadedDecoder:
    """Read a directory of any known family with a head of any kind, in evaluation mode on the CPU.

    The arguments and errors are `load_model`'s; ModelError if the directory holds a plain language model.
    """
    directory = Path(directory)
    raw, stored, config, dtype = open_directory(directory, dtype=dtype, trusted_parts=trusted_parts, verify=verify)
    kind: Any = head_kind(raw)
    if kind is None:
        raise ModelError(
            f"{directory} has no head for labels (architectures: {raw.get('architectures')!r:.80})",
            hint="groundup.models.heads.with_head(load_model(...), kind, labels, seed) gives it one",
        )
    decoder = empty_decoder(config)
    with torch.device(decoder.embed_tokens.weight.device):
        model = HeadedDecoder(
            decoder,
            kind,
            _labels(raw, kind, directory),
            problem_type=_problem_type(raw, directory),
            pad_token_id=_pad_id(raw, config.vocab_size),
        )
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if raw["model_type"] == OWN:
        entries = own_entries(expected)
    else:
        entries = headed_entries(family_named(raw["model_type"]), config, kind, _head_names(expected), stored)
    check_tensors(directory, entries, expected, stored, tied=False)
    fill(model, entries, expected, stored, dtype)
    return model.eval()


def _head_names(names: Collection[str]) -> list[str]:
    return [name for name in names if not name.startswith("decoder.")]


def _labels(raw: Mapping[str, Any], kind: HeadKind, directory: Path) -> tuple[str, ...]:
    if kind == "span":
        return SPAN_LABELS
    written = raw.get("id2label")
    if not written:
        return tuple(f"LABEL_{i}" for i in range(raw.get("num_labels") or _DEFAULT_LABELS))
    try:
        numbered = {int(number): str(label) for number, label in written.items()}
        return tuple(numbered[i] for i in range(len(numbered)))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ModelError(
            f"config.json of {directory} has id2label {written!r:.80}; it must name the labels 0, 1, ... in order"
        ) from None


def _problem_type(raw: Mapping[str, Any], directory: Path) -> ProblemType | None:
    named: Any = raw.get("problem_type")
    if named is not None and named not in get_args(ProblemType):
        raise ModelError(
            f"config.json of {directory} has problem_type {named!r}; known: {', '.join(get_args(ProblemType))}"
        )
    return named  # type: ignore[no-any-return]


def _pad_id(raw: Mapping[str, Any], vocab_size: int) -> int | None:
    found = raw.get("pad_token_id")
    return found if isinstance(found, int) and 0 <= found < vocab_size else None
