"""The small networks beside the same networks written plainly with torch.nn and torch.nn.functional; objectives beside their formulas."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.core.errors import ConfigError
from groundup.models.networks import GAN, PADDING, VAE, Pictures, Texts, build_network
from groundup.models.networks.generative import GANConfig, VAEConfig
from groundup.models.networks.pictures import CNNConfig, MLPConfig, ResidualBlock, ResNetConfig
from groundup.models.networks.texts import MeanOfEmbeddingsConfig, TextCNNConfig, TextRNNConfig, _AddShifted
from groundup.nn.protocols import Batch
from groundup.objectives.networks import Example, GANObjective, LabelObjective, Penalties, VAEObjective, picture_batch
from groundup.train.networks.pictures import told_apart


@pytest.fixture(autouse=True)
def seed() -> int:
    value = int.from_bytes(os.urandom(4), "little")
    print("seed", value)
    random.seed(value)
    torch.manual_seed(value)
    return value


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


SHAPE = Pictures(height=9, width=8, channels=3, num_labels=4)


@pytest.mark.row("1.7")
def test_mlp() -> None:
    ours: Any = build_network(MLPConfig(hidden_size=12, num_hidden_layers=2, norm="batch", activation="tanh"), SHAPE)
    theirs = nn.Sequential(
        nn.Flatten(), nn.Linear(9 * 8 * 3, 12), nn.BatchNorm1d(12), nn.Tanh(),
        nn.Linear(12, 12), nn.BatchNorm1d(12), nn.Tanh(), nn.Linear(12, 4),
    )  # fmt: skip
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(7, 3, 9, 8)
    close(ours(x), theirs(x))
    close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.row("1.7")
def test_cnn() -> None:
    ours: Any = build_network(CNNConfig(channels=(5, 6), kernel_size=3, hidden_size=10, norm="layer"), SHAPE)
    x = torch.randn(4, 3, 9, 8)
    named = dict(ours.named_parameters())
    weights = list(named.values())
    made = x
    for conv, bias, scale, shift in (weights[0:4], weights[4:8]):
        made = F.group_norm(F.conv2d(made, conv, bias, padding=1), 1, scale, shift)
        made = F.max_pool2d(made.relu(), 2)
    made = F.linear(made.flatten(1), named["hidden.1.weight"], named["hidden.1.bias"]).relu()
    close(ours(x), F.linear(made, named["score.weight"], named["score.bias"]))


@pytest.mark.row("1.7")
@pytest.mark.parametrize(("channels", "size", "stride"), [(4, 4, 1), (4, 6, 2), (4, 6, 1)])
def test_residual_blocks(channels: int, size: int, stride: int) -> None:
    x = torch.randn(3, channels, 8, 6)
    for pre in (False, True):
        block = ResidualBlock(channels, size, stride, ResNetConfig(pre_activation=pre))
        block.train()
        a, b = block.conv1.weight, block.conv2.weight
        same = channels == size and stride == 1
        shortcut = x if same else F.conv2d(x, block.shortcut.weight, stride=stride)  # type: ignore[union-attr,arg-type]

        def norm(y: Tensor) -> Tensor:
            return F.batch_norm(y, None, None, training=True)  # weights begin as 1 and 0

        if pre:
            wanted = F.conv2d(F.conv2d(norm(x).relu(), a, stride=stride, padding=1), b, padding=1)
            inner = F.conv2d(norm(x).relu(), a, stride=stride, padding=1)
            wanted = shortcut + F.conv2d(norm(inner).relu(), b, padding=1)
        else:
            inner = norm(F.conv2d(x, a, stride=stride, padding=1)).relu()
            wanted = (norm(F.conv2d(inner, b, padding=1)) + shortcut).relu()
        close(block(x), wanted)
    with_none = ResidualBlock(channels, size, stride, ResNetConfig(shortcuts=False, norm="none"))
    inner = F.conv2d(x, with_none.conv1.weight, stride=stride, padding=1).relu()
    close(with_none(x), F.conv2d(inner, with_none.conv2.weight, padding=1).relu())


@pytest.mark.row("1.7")
def test_resnet_has_its_papers_shape() -> None:
    """6 n + 2 layers with weights, shortcuts aside; each stage half the size."""
    network: Any = build_network(ResNetConfig(channels=(4, 8, 16), num_blocks=3), SHAPE)
    layers = [m for n, m in network.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear)) and "shortcut" not in n]
    assert len(layers) == 20
    sizes = []
    x = network.stem(torch.randn(2, 3, 16, 16))
    for block in network.blocks:
        x = block(x)
        sizes.append(x.shape[-1])
    assert sizes == [16] * 3 + [8] * 3 + [4] * 3
    assert network(torch.randn(2, 3, 16, 16)).shape == (2, 4)


def texts() -> Tensor:
    """[5, 11], each row padded from some place on; one row is whole, one has a single word."""
    ids = torch.randint(2, 20, (5, 11))
    for row, length in zip(ids[1:], (1, 3, 6, 10), strict=True):
        row[length:] = PADDING
    return ids


WORDS = Texts(vocab_size=20, num_labels=3)


@pytest.mark.row("1.7")
def test_text_cnn_is_a_convolution_and_a_maximum() -> None:
    config = TextCNNConfig(embedding_size=6, window_sizes=(2, 3, 5), filters=4)
    ours: Any = build_network(config, WORDS).eval()
    nn.init.normal_(ours.filters.weight)
    nn.init.normal_(ours.bias)
    ids = texts()
    rows = []
    for row in ids:
        words = ours.embed(row[row != PADDING]).T[None]  # [1, D, t]
        found, first = [], 0
        for size, bias in zip(config.window_sizes, ours.bias, strict=True):
            kernel = ours.filters.weight[first : first + size * 4].view(size, 4, 6).permute(1, 2, 0)
            first += size * 4
            found.append(F.conv1d(F.pad(words, (4, 4)), kernel, bias).relu().amax(2))
        rows.append(F.linear(torch.cat(found, 1), ours.score.weight, ours.score.bias))
    close(ours(ids), torch.cat(rows))


@pytest.mark.row("1.7")
def test_the_gradient_of_shifted_sums_is_autograds() -> None:
    x = torch.randn(2, 7, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(_AddShifted.apply, (x,))


@pytest.mark.row("2.5")
@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_text_rnn_is_torchs_recurrence_pooled(pooling: Any, cell: Any) -> None:
    ours: Any = build_network(TextRNNConfig(embedding_size=5, hidden_size=6, cell=cell, pooling=pooling), WORDS).eval()
    theirs = (nn.LSTM if cell == "lstm" else nn.GRU)(5, 6, bidirectional=True, batch_first=True)
    for suffix, layer in zip(("", "_reverse"), ours.recurrent.layers, strict=True):
        with torch.no_grad():
            getattr(theirs, f"weight_ih_l0{suffix}").copy_(layer.weight_ih)
            getattr(theirs, f"weight_hh_l0{suffix}").copy_(layer.weight_hh)
            getattr(theirs, f"bias_ih_l0{suffix}").copy_(layer.bias)
            getattr(theirs, f"bias_hh_l0{suffix}").zero_()
            if cell == "gru":
                getattr(theirs, f"bias_hh_l0{suffix}")[12:] = layer.bias_n
    ids = texts()
    rows = []
    for row in ids:
        states, _ = theirs(ours.embed(row[row != PADDING])[None])
        rows.append(states.amax(1) if pooling == "max" else states.mean(1))
    close(ours(ids), F.linear(torch.cat(rows), ours.score.weight, ours.score.bias))


@pytest.mark.row("2.5")
@pytest.mark.parametrize(
    "config",
    [
        MeanOfEmbeddingsConfig(embedding_size=5, hidden_size=6),
        TextCNNConfig(embedding_size=5, filters=3),
        TextRNNConfig(embedding_size=5, hidden_size=6),
    ],
)
def test_padding_changes_nothing(config: Any) -> None:
    network = build_network(config, WORDS).eval()
    ids = texts()
    wider = F.pad(ids, (0, 4), value=PADDING)
    close(network(wider), network(ids))
    close(network(ids[1:2, :1]), network(ids)[1:2])


@pytest.mark.row("1.4")
def test_label_loss_with_smoothing_and_penalties() -> None:
    shape = Pictures(height=3, width=2, channels=1, num_labels=4)
    network = build_network(MLPConfig(hidden_size=5), shape)
    rng = np.random.default_rng(random.randrange(2**32))
    examples = [Example(rng.integers(0, 256, (3, 2), np.uint8), int(rng.integers(4))) for _ in range(6)]
    objective = LabelObjective(texts=False, label_smoothing=0.2, penalties=Penalties(l1=0.3, l2=0.7))
    batch = objective.collate(examples)
    assert batch.weight == 6
    x = torch.tensor(np.stack([e.input for e in examples])).reshape(6, 1, 3, 2) / 255
    scores = network(x).log_softmax(1)
    wanted = torch.full((6, 4), 0.2 / 4)
    for i, e in enumerate(examples):
        wanted[i, e.label] += 0.8
    matrices = [p for n, p in network.named_parameters() if n.endswith("weight")]
    penalty = sum(0.3 * p.abs().sum() + 0.35 * (p**2).sum() for p in matrices)
    close(objective.loss(network, batch).loss, -(wanted * scores).sum(1).mean() + penalty)


@pytest.mark.row("1.7")
def test_the_variational_bound_is_torchs_divergence_and_likelihood() -> None:
    shape = Pictures(height=4, width=3, channels=1, num_labels=1)
    network = VAE(VAEConfig(latent_size=5, hidden_size=7), shape)
    pictures = torch.rand(6, 1, 4, 3)
    batch = Batch(torch.zeros(6, 1).long(), torch.zeros(6, 1).long(), extras={"inputs": pictures}, count=6)
    state = torch.get_rng_state()
    made = VAEObjective(kl_weight=0.5).loss(network, batch)
    torch.set_rng_state(state)
    mean, log_variance = network.encode(pictures)
    codes = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    drawn = mean + torch.randn_like(mean) * codes.scale
    kl = torch.distributions.kl_divergence(codes, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    p = network.decode(drawn).sigmoid()
    likelihood = (pictures * p.log() + (1 - pictures) * (1 - p).log()).flatten(1).sum(1).mean()
    close(made.loss, -likelihood + 0.5 * kl)
    close(torch.as_tensor(made.metrics["kl"]), kl.detach())


@pytest.mark.row("1.7")
def test_each_players_gradient_is_that_of_its_own_loss() -> None:
    """The one loss beside two losses, each differentiated for its own player only."""
    shape = Pictures(height=6, width=7, channels=1, num_labels=1)
    network = GAN(GANConfig(latent_size=4, channels=3, dropout=0.0), shape)
    real = torch.rand(5, 1, 6, 7)
    batch = Batch(torch.zeros(5, 1).long(), torch.zeros(5, 1).long(), extras={"inputs": real}, count=5)
    state = torch.get_rng_state()
    GANObjective(real_target=0.9).loss(network, batch).loss.backward()  # type: ignore[no-untyped-call]
    ours = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    torch.set_rng_state(state)
    made = network.generator(torch.randn(5, 4))
    assert made.shape == real.shape and (made >= 0).all() and (made <= 1).all()
    d_real, d_made = network.discriminator(real).sigmoid(), network.discriminator(made.detach()).sigmoid()
    d_loss = -(0.9 * d_real.log() + 0.1 * (1 - d_real).log()).mean() - (1 - d_made).log().mean()
    g_loss = -network.discriminator(made).sigmoid().log().mean()
    for player, loss in (("discriminator", d_loss), ("generator", g_loss)):
        named = {n: p for n, p in network.named_parameters() if n.startswith(player)}
        for name, wanted in zip(named, torch.autograd.grad(loss, list(named.values()), retain_graph=True), strict=True):
            torch.testing.assert_close(ours[name], wanted, rtol=1e-3, atol=1e-6)


@pytest.mark.row("1.7")
def test_told_apart_is_half_for_one_set_cut_in_two_and_one_for_two_places() -> None:
    rng = np.random.default_rng(3)
    every = rng.normal(size=(400, 6))
    assert told_apart(every[:200], every[200:]) == pytest.approx(0.5, abs=0.1)
    assert told_apart(every[:200], every[200:] + 20) == 1.0


@pytest.mark.row("1.7")
def test_networks_are_for_pictures_or_texts_and_colours_keep_their_place() -> None:
    with pytest.raises(ConfigError, match="text_cnn is no network for pictures"):
        build_network(TextCNNConfig(), SHAPE)
    with pytest.raises(ConfigError, match="cnn is no network for texts"):
        build_network(CNNConfig(), WORDS)
    image = np.zeros((2, 4, 3), np.uint8)
    image[1, 2, 0] = 255
    batch = picture_batch([Example(image, 0)])
    assert batch.shape == (1, 3, 2, 4) and batch[0, 0, 1, 2] == 1 and batch.sum() == 1
