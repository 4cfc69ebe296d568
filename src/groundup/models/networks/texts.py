"""Classifiers of texts, all from random vectors: a mean of word vectors through a perceptron, a convolutional and a recurrent network.

Mean of embeddings: Iyyer et al. 2015, "Deep unordered composition", with its word dropout. TextCNN: Kim 2014, "Convolutional neural
networks for sentence classification", CNN-rand: filters over 3, 4 and 5 words, the largest value of each over the text, dropout.
TextRNN: the states of a (bidirectional) recurrent network, their largest value or their mean over the text. Left out: vectors trained
elsewhere, several channels, Kim's limit on the norm of the last layer (weight decay stands for it).

Letters: B texts, T words, D hidden, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...core.errors import ConfigError
from ...nn.linear import Linear
from ...nn.mixers.rnn import Recurrent
from .parts import Activation, activation
from .shapes import PADDING, UNKNOWN, Texts, a_share, at_least_one


@dataclass(frozen=True, kw_only=True)
class MeanOfEmbeddingsConfig:
    type: Literal["mean_of_embeddings"] = "mean_of_embeddings"
    embedding_size: int = 128
    hidden_size: int = 128
    num_hidden_layers: int = 1
    activation: Activation = "relu"
    word_dropout: float = 0.3
    """Words are left out of the mean with this probability."""
    dropout: float = 0.3

    def __post_init__(self) -> None:
        at_least_one(self, "embedding_size", "hidden_size")
        a_share(self, "word_dropout", "dropout")

    def build(self, shape: Texts) -> nn.Module:
        return MeanOfEmbeddings(self, shape)


@dataclass(frozen=True, kw_only=True)
class TextCNNConfig:
    type: Literal["text_cnn"] = "text_cnn"
    embedding_size: int = 300
    window_sizes: tuple[int, ...] = (3, 4, 5)
    """Words that a filter sees."""
    filters: int = 100
    """For each window size."""
    word_dropout: float = 0.0
    """While training, words become unknown ones with this probability."""
    dropout: float = 0.5

    def __post_init__(self) -> None:
        at_least_one(self, "embedding_size", "filters")
        a_share(self, "word_dropout", "dropout")
        if not self.window_sizes or min(self.window_sizes) < 1:
            raise ConfigError(f"must be numbers of at least 1, not {list(self.window_sizes)}", path="window_sizes")

    def build(self, shape: Texts) -> nn.Module:
        return TextCNN(self, shape)


@dataclass(frozen=True, kw_only=True)
class TextRNNConfig:
    type: Literal["text_rnn"] = "text_rnn"
    embedding_size: int = 128
    hidden_size: int = 128
    num_layers: int = 1
    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    bidirectional: bool = True
    pooling: Literal["max", "mean"] = "max"
    """How the states of all words become one vector."""
    word_dropout: float = 0.0
    """While training, words become unknown ones with this probability."""
    dropout: float = 0.5
    """On the word vectors, between layers, and on the pooled states."""

    def __post_init__(self) -> None:
        at_least_one(self, "embedding_size", "hidden_size", "num_layers")
        a_share(self, "word_dropout", "dropout")

    def build(self, shape: Texts) -> nn.Module:
        return TextRNN(self, shape)


class MeanOfEmbeddings(nn.Module):
    """ids [B, T], PADDING at the end -> [B, L]"""

    def __init__(self, config: MeanOfEmbeddingsConfig, shape: Texts) -> None:
        super().__init__()
        self.embed = nn.Embedding(shape.vocab_size, config.embedding_size, padding_idx=PADDING)
        nn.init.uniform_(self.embed.weight, -0.25, 0.25)
        layers: list[nn.Module] = []
        size = config.embedding_size
        for _ in range(config.num_hidden_layers):
            layers += [Linear(size, config.hidden_size), activation(config.activation), nn.Dropout(config.dropout)]
            size = config.hidden_size
        self.hidden = nn.Sequential(*layers)
        self.score = Linear(size, shape.num_labels)
        self.word_dropout = config.word_dropout

    def forward(self, ids: Tensor) -> Tensor:
        kept = (ids != PADDING).to(self.embed.weight.dtype)
        if self.training and self.word_dropout:
            kept = kept * (torch.rand_like(kept) >= self.word_dropout)
        mean = (self.embed(ids) * kept[..., None]).sum(1) / kept.sum(1, keepdim=True).clamp(min=1)
        scores: Tensor = self.score(self.hidden(mean))
        return scores


class TextCNN(nn.Module):
    """ids [B, T], PADDING at the end -> [B, L]

    A window's value is a sum over its places, so one matrix product gives every word's share in every place of every filter, and
    the shares are added up shifted: no window is ever copied.
    """

    def __init__(self, config: TextCNNConfig, shape: Texts) -> None:
        super().__init__()
        self.window_sizes, self.num_filters, self.word_dropout = (
            config.window_sizes,
            config.filters,
            config.word_dropout,
        )
        self.embed = nn.Embedding(shape.vocab_size, config.embedding_size, padding_idx=PADDING)
        nn.init.uniform_(self.embed.weight, -0.25, 0.25)  # Kim 2014, section 3.3
        self.filters = Linear(config.embedding_size, sum(config.window_sizes) * config.filters, bias=False)
        """Rows: for each window size, for each place in the window, the filters."""
        self.bias = nn.Parameter(torch.zeros(len(config.window_sizes), config.filters))
        self.dropout = nn.Dropout(config.dropout)
        self.score = Linear(config.filters * len(config.window_sizes), shape.num_labels)
        nn.init.uniform_(self.filters.weight, -0.01, 0.01)

    def forward(self, ids: Tensor) -> Tensor:
        known = ids != PADDING
        ids = _with_unknown_words(ids, self.word_dropout if self.training else 0.0)
        # Every filter meets every word in each of its places: the text stands between words that are nothing.
        margin = max(self.window_sizes) - 1
        shares = F.pad(self.filters(self.embed(ids) * known[..., None]), (0, 0, margin, margin))
        # Windows that begin further on than `end - size` belong to longer rows of the batch.
        end = known.sum(1) + 2 * margin
        found, first = [], 0
        for size, bias in zip(self.window_sizes, self.bias, strict=True):
            places = shares[..., first : first + size * self.num_filters].reshape(
                *shares.shape[:2], size, self.num_filters
            )
            first += size * self.num_filters
            values: Tensor = _AddShifted.apply(places)  # type: ignore[no-untyped-call]
            count = values.shape[1]
            outside = torch.arange(count, device=ids.device) > (end - size)[:, None]
            # The largest of what is inside, then bias and ReLU: they keep the order, and there is one value a filter left.
            found.append((values.masked_fill(outside[..., None], float("-inf")).amax(1) + bias).relu())
        scores: Tensor = self.score(self.dropout(torch.cat(found, 1)))
        return scores


def _with_unknown_words(ids: Tensor, probability: float) -> Tensor:
    """Unknown words are met in training too, and no single word decides (Iyyer et al. 2015, section 3.1, of a mean of words)."""
    if not probability:
        return ids
    forgotten = (torch.rand(ids.shape, device=ids.device) < probability) & (ids != PADDING)
    return ids.masked_fill(forgotten, UNKNOWN)


class _AddShifted(torch.autograd.Function):
    """[B, T, places, F] -> [B, T - places + 1, F], sum over places p of x[:, p:, p].

    Autograd would make a whole-sized gradient for every place: 12 of them a step instead of one.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        count = x.shape[1] - x.shape[2] + 1
        made = x[:, :count, 0].clone()
        for place in range(1, x.shape[2]):
            made += x[:, place : place + count, place]
        return made

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        made = grad.new_zeros(ctx.shape)
        for place in range(ctx.shape[2]):
            made[:, place : place + grad.shape[1], place] = grad
        return made


class TextRNN(nn.Module):
    """ids [B, T], PADDING at the end -> [B, L]"""

    def __init__(self, config: TextRNNConfig, shape: Texts) -> None:
        super().__init__()
        self.embed = nn.Embedding(shape.vocab_size, config.embedding_size, padding_idx=PADDING)
        nn.init.uniform_(self.embed.weight, -0.25, 0.25)
        self.recurrent = Recurrent(
            config.embedding_size,
            config.hidden_size,
            num_layers=config.num_layers,
            cell=config.cell,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.pooling, self.word_dropout = config.pooling, config.word_dropout
        self.score = Linear(config.hidden_size * (2 if config.bidirectional else 1), shape.num_labels)

    def forward(self, ids: Tensor) -> Tensor:
        known = ids != PADDING
        lengths = known.sum(1).clamp(min=1)
        ids = _with_unknown_words(ids, self.word_dropout if self.training else 0.0)
        states, _ = self.recurrent(self.dropout(self.embed(ids)), lengths=lengths)
        inside = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None])[..., None]
        if self.pooling == "max":
            pooled = states.masked_fill(~inside, float("-inf")).amax(1)
        else:
            pooled = (states * inside).sum(1) / lengths[:, None]
        scores: Tensor = self.score(self.dropout(pooled))
        return scores
