"""A decoder with a linear head in place of its language-model head: a label for a sequence, for each token, or a span.

A reward model is the sequence form with the one label "reward"; a critic is the token form with the one label "value". The
forms, their biases and the place that is read are transformers' own (`...ForSequenceClassification`, `...ForTokenClassification`,
`...ForQuestionAnswering`); their files are read and written by `models/heads_directory.py`. Left out: the dropout that
transformers puts before the token head (0.1 in training), and auxiliary losses of experts.

Letters: B rows, T positions, D hidden, L labels, N sequences (several may share a packed row).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..core.errors import ModelError
from ..nn.state import SequenceState
from .decoder import Decoder, DecoderConfig

HeadKind = Literal["sequence", "token", "span"]
ProblemType = Literal["regression", "single_label_classification", "multi_label_classification"]
SPAN_LABELS = ("start", "end")


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
