"""Adapters against PEFT on transformers' models with the same weights: outputs, gradients, files both ways."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config as PeftIA3
from peft import LoraConfig, PeftModel, PrefixTuningConfig, PromptTuningConfig, get_peft_model
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from groundup.adapt import (
    IA3Config,
    LoRAConfig,
    PrefixConfig,
    PromptConfig,
    apply,
    load_adapter,
    merge,
    save_adapter,
    select,
    trainable_parameters,
)
from groundup.adapt.attach import adapter_modules
from groundup.core.artifact import verify
from groundup.models.decoder import Decoder
from groundup.models.directory import load_model

pytestmark = [
    pytest.mark.row("9.2"),
    # peft asks transformers by its old names.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.past_key_values. is deprecated:FutureWarning"),
]

SEED = int(os.environ.get("GROUNDUP_TEST_SEED") or random.SystemRandom().randrange(2**32))


def sizes(draw: random.Random) -> dict[str, Any]:
    kv = draw.choice([1, 2])
    heads = kv * draw.choice([1, 2])
    return {
        "vocab_size": draw.randrange(60, 100), "hidden_size": heads * draw.choice([8, 12]),
        "intermediate_size": draw.randrange(20, 50), "num_hidden_layers": 2, "num_attention_heads": heads,
        "num_key_value_heads": kv, "max_position_embeddings": 64, "tie_word_embeddings": draw.random() < 0.5,
        "initializer_range": 0.2, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip


ROPE = {"rope_type": "default", "rope_theta": 10000.0}


def llama(draw: random.Random) -> PreTrainedConfig:
    return LlamaConfig(
        **sizes(draw), rope_parameters=ROPE, attention_bias=draw.random() < 0.5, mlp_bias=draw.random() < 0.5
    )


def qwen2(draw: random.Random) -> PreTrainedConfig:
    window = {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1} if draw.random() < 0.5 else {}
    return Qwen2Config(**sizes(draw), **window, rope_parameters=ROPE)


def qwen3(draw: random.Random) -> PreTrainedConfig:
    return Qwen3Config(**sizes(draw), head_dim=draw.choice([8, 16]), rope_parameters=ROPE)


def gemma2(draw: random.Random) -> PreTrainedConfig:
    s = sizes(draw)
    return Gemma2Config(
        **s, head_dim=draw.choice([8, 16]), query_pre_attn_scalar=16, sliding_window=32, rope_parameters=ROPE
    )


def gpt2(draw: random.Random) -> PreTrainedConfig:
    s = sizes(draw)
    return GPT2Config(
        vocab_size=s["vocab_size"], n_embd=s["hidden_size"], n_layer=2, n_positions=64, n_head=s["num_attention_heads"],
        initializer_range=0.2, bos_token_id=1, eos_token_id=2, pad_token_id=0, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip


FAMILIES: dict[str, Callable[[random.Random], PreTrainedConfig]] = {
    "llama": llama, "qwen2": qwen2, "qwen3": qwen3, "gemma2": gemma2, "gpt2": gpt2,
}  # fmt: skip


def targets_of(family: str, draw: random.Random) -> list[str]:
    names = (
        ["c_attn", "attn.c_proj", "c_fc", "mlp.c_proj"]
        if family == "gpt2"
        else ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    )
    return sorted(draw.sample(names, draw.randrange(1, len(names) + 1)))


def peft_config(kind: str, family: str, draw: random.Random) -> Any:
    lora = {"r": draw.choice([1, 3, 8]), "lora_alpha": draw.choice([2, 6]), "fan_in_fan_out": family == "gpt2",
            "task_type": "CAUSAL_LM"}  # fmt: skip
    match kind:
        case "lora":
            targets = targets_of(family, draw)
            return LoraConfig(
                **lora, target_modules=targets, rank_pattern={targets[0]: 2}, alpha_pattern={targets[-1]: 3}
            )
        case "rslora":
            return LoraConfig(**lora, target_modules=targets_of(family, draw), use_rslora=True)
        case "dora":
            return LoraConfig(**lora, target_modules=targets_of(family, draw), use_dora=True)
        case "ia3":
            if family == "gpt2":
                return PeftIA3(task_type="CAUSAL_LM", target_modules=["c_attn", "mlp.c_proj"],
                               feedforward_modules=["mlp.c_proj"], fan_in_fan_out=True)  # fmt: skip
            return PeftIA3(
                task_type="CAUSAL_LM",
                target_modules=["k_proj", "v_proj", "down_proj"],
                feedforward_modules=["down_proj"],
            )
        case "prefix":
            return PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=draw.randrange(1, 6))
        case "prompt":
            return PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=draw.randrange(1, 6))
    raise AssertionError(kind)


KINDS = ["lora", "rslora", "dora", "ia3", "prefix", "prompt"]


class Pair:
    """A transformers model with a PEFT adapter that has moved, and the same in groundup, read from PEFT's files."""

    def __init__(self, family: str, kind: str, tmp_path: Path, dtype: torch.dtype = torch.float32) -> None:
        self.draw = random.Random(f"{SEED} {family} {kind}")
        print(f"GROUNDUP_TEST_SEED={SEED}")
        torch.manual_seed(self.draw.randrange(2**31))
        config = FAMILIES[family](self.draw)
        theirs = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
        with torch.no_grad():
            for parameter in theirs.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.1 * torch.randn_like(parameter))
                elif dtype is torch.bfloat16:  # its three digits say nothing where a softmax saturates
                    parameter.mul_(0.5)
        theirs.to(dtype).save_pretrained(tmp_path / "base")
        self.base = tmp_path / "base"
        self.config = peft_config(kind, family, self.draw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.theirs: Any = get_peft_model(theirs, self.config).eval()
        with torch.no_grad():
            for parameter in self.theirs.parameters():
                if parameter.requires_grad:
                    parameter.add_((0.1 if dtype is torch.bfloat16 else 0.2) * torch.randn_like(parameter))
        self.theirs.save_pretrained(tmp_path / "theirs")
        self.ours = load_model(self.base)
        load_adapter(self.ours, tmp_path / "theirs", trainable=True)
        self.ids = torch.randint(3, 60, (3, 9))

    def their_logits(self, model: Any = None) -> Tensor:
        logits: Tensor = (model or self.theirs)(input_ids=self.ids).logits
        return logits[:, -self.ids.shape[1] :]  # a prompt's own positions come out too


def close(a: Tensor, b: Tensor, tolerance: float = 2e-4) -> None:
    error = (a.double() - b.double()).norm() / b.double().norm().clamp(min=1e-6)
    assert error < tolerance, f"relative error {error:.2e}"


def their_gradients(pair: Pair, kind: str) -> dict[str, Tensor]:
    """By our names (with one entry for shared parameters)."""
    found: dict[str, Tensor] = {}
    for name, parameter in pair.theirs.named_parameters():
        if parameter.grad is not None:
            found[name.replace(".default", "").removeprefix("base_model.model.")] = parameter.grad
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", list(FAMILIES))
def test_outputs_gradients_and_files(family: str, kind: str, tmp_path: Path) -> None:
    pair = Pair(family, kind, tmp_path)
    # Some draws saturate a softmax, and float32 then differs by more than a mistake does.
    pair.theirs.double(), pair.ours.double()
    weight = torch.randn(3, 9, pair.ours.config.vocab_size, dtype=torch.float64)
    theirs = pair.their_logits()
    ours = pair.ours(pair.ids).logits
    with select(pair.ours, None):
        assert (pair.ours(pair.ids).logits - ours).norm() > 1e-2 * ours.norm()  # the adapter does something
    close(ours, theirs)
    (theirs * weight).sum().backward()
    (ours * weight).sum().backward()

    # Gradients, compared through our own writer: it says where each of our tensors stands in PEFT's file.
    expected = their_gradients(pair, kind)
    with torch.no_grad():
        for _, parameter in trainable_parameters(pair.ours):
            assert parameter.grad is not None
            parameter.copy_(parameter.grad)
    save_adapter(pair.ours, tmp_path / "gradients")
    from safetensors.torch import load_file

    got = {
        k.removeprefix("base_model.model."): v
        for k, v in load_file(tmp_path / "gradients/adapter_model.safetensors").items()
    }
    assert len(got) == len(expected) > 0
    for name, gradient in expected.items():
        mine = got["prompt_embeddings" if "prompt_encoder" in name else name.replace("_vector.weight", "_vector")]
        close(mine.reshape(gradient.shape), gradient, 1e-3)
    frozen = [p for _, p in pair.ours.named_parameters() if not p.requires_grad]
    assert all(p.grad is None for p in frozen) and frozen


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", list(FAMILIES))
def test_peft_reads_what_we_save(family: str, kind: str, tmp_path: Path) -> None:
    pair = Pair(family, kind, tmp_path)
    with torch.no_grad():
        for _, parameter in trainable_parameters(pair.ours):
            parameter.add_(0.1 * torch.randn_like(parameter))
        expected = pair.ours(pair.ids).logits
    save_adapter(pair.ours, tmp_path / "ours", base=str(pair.base))
    assert verify(tmp_path / "ours", kind="adapter").facts["base"] == str(pair.base)
    base = AutoModelForCausalLM.from_pretrained(pair.base, attn_implementation="eager")
    again = PeftModel.from_pretrained(base, str(tmp_path / "ours")).eval()
    close(pair.their_logits(again).detach(), expected)
    # And we read our own.
    fresh = load_adapter(load_model(pair.base), tmp_path / "ours", name="other")
    with torch.no_grad():
        torch.testing.assert_close(fresh(pair.ids).logits, expected)


@pytest.mark.parametrize(
    ("family", "kind"), [("llama", "lora"), ("gpt2", "lora"), ("qwen3", "dora"), ("gemma2", "ia3"), ("llama", "prompt")]
)
def test_bfloat16(family: str, kind: str, tmp_path: Path) -> None:
    """Base weights in bfloat16; the adapter stays in float32 in both."""
    pair = Pair(family, kind, tmp_path, torch.bfloat16)
    assert all(p.dtype == torch.float32 for part in adapter_modules(pair.ours, "default") for p in part.parameters())
    with torch.no_grad():
        close(pair.ours(pair.ids).logits, pair.their_logits(), 6e-2)


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("llama", "lora"),
        ("gpt2", "lora"),
        ("qwen2", "rslora"),
        ("qwen3", "dora"),
        ("gpt2", "dora"),
        ("gemma2", "ia3"),
        ("gpt2", "ia3"),
    ],
)
def test_merged_weights_equal_peft(family: str, kind: str, tmp_path: Path) -> None:
    pair = Pair(family, kind, tmp_path)
    expected = pair.their_logits().detach()
    merged = merge(pair.ours, "default")
    from groundup.models.directory import save_model

    save_model(merged, tmp_path / "merged")
    opened = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", attn_implementation="eager").eval()
    close(pair.their_logits(opened).detach(), expected)
    their_weights = pair.theirs.merge_and_unload().state_dict()
    for name, tensor in opened.state_dict().items():
        close(tensor, their_weights[name], 1e-5)


@pytest.mark.parametrize("targets", [["q_proj", "v_proj"], ["q_proj", "k_proj", "v_proj"], ["v_proj", "down_proj"]])
@pytest.mark.parametrize("how", ["lora", "rslora", "dora", "ia3"])
def test_gpt2_projections_adapted_apart_are_joined_exactly(how: str, targets: list[str], tmp_path: Path) -> None:
    """Our q_proj, k_proj, v_proj with an A each become one c_attn of higher rank."""
    print(f"GROUNDUP_TEST_SEED={SEED}")
    draw = random.Random(f"{SEED} {targets} {how}")
    torch.manual_seed(draw.randrange(2**31))
    AutoModelForCausalLM.from_config(gpt2(draw)).save_pretrained(tmp_path / "base")
    ours: Decoder = load_model(tmp_path / "base")
    if how == "ia3":
        apply(IA3Config(target_modules=tuple(targets)) if "down_proj" in targets else
              IA3Config(target_modules=tuple(targets), feedforward_modules=()), ours)  # fmt: skip
    else:
        apply(LoRAConfig(r=4, target_modules=tuple(targets), rank_pattern={"v_proj": 2}, alpha_pattern={"v_proj": 3.0},
                         use_rslora=how == "rslora", use_dora=how == "dora"), ours)  # fmt: skip
    with torch.no_grad():
        for _, parameter in trainable_parameters(ours):
            parameter.add_(0.2 * torch.randn_like(parameter))
        ids = torch.randint(3, 60, (2, 9))
        expected = ours(ids).logits
    save_adapter(ours, tmp_path / "ours")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    close(PeftModel.from_pretrained(base, str(tmp_path / "ours")).eval()(input_ids=ids).logits.detach(), expected)
    again = load_adapter(load_model(tmp_path / "base"), tmp_path / "ours")
    with torch.no_grad():
        close(again(ids).logits, expected)


def test_prefix_projection_saves_what_it_makes(tmp_path: Path) -> None:
    draw = random.Random(SEED)
    torch.manual_seed(draw.randrange(2**31))
    AutoModelForCausalLM.from_config(llama(draw)).save_pretrained(tmp_path / "base")
    ours = apply(
        PrefixConfig(num_virtual_tokens=3, prefix_projection=True, encoder_hidden_size=10),
        load_model(tmp_path / "base"),
    )
    ids = torch.randint(3, 60, (2, 9))
    expected = ours(ids).logits.detach()
    save_adapter(ours, tmp_path / "ours")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base", attn_implementation="eager")
    close(PeftModel.from_pretrained(base, str(tmp_path / "ours")).eval()(input_ids=ids).logits.detach(), expected)


def test_their_optimizer_steps_lead_to_the_same_place(tmp_path: Path) -> None:
    """GPT-2's shared A: five SGD steps of both, from the same start; in float64, since each step multiplies rounding."""
    pair = Pair("gpt2", "lora", tmp_path)
    pair.theirs.double(), pair.ours.double()
    theirs = torch.optim.SGD([p for p in pair.theirs.parameters() if p.requires_grad], lr=0.05)
    ours = torch.optim.SGD([p for _, p in trainable_parameters(pair.ours)], lr=0.05)
    for _ in range(5):
        for optimizer, logits in ((theirs, pair.their_logits()), (ours, pair.ours(pair.ids).logits)):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), pair.ids.flatten()).backward()
            optimizer.step()
    with torch.no_grad():
        close(pair.ours(pair.ids).logits, pair.their_logits(), 1e-6)


def test_prompt_configs_are_ours(tmp_path: Path) -> None:
    """A prompt that begins as vocabulary is what the tokens' own embeddings are."""
    draw = random.Random(SEED + 1)
    torch.manual_seed(draw.randrange(2**31))
    AutoModelForCausalLM.from_config(gemma2(draw)).save_pretrained(tmp_path / "base")
    plain = load_model(tmp_path / "base")
    ids = torch.randint(3, 60, (1, 12))
    expected = plain(ids).logits[:, 4:].detach()
    ours = apply(PromptConfig(num_virtual_tokens=4), load_model(tmp_path / "base"))
    ((_, prompt),) = trainable_parameters(ours)
    with torch.no_grad():
        prompt.copy_(plain.embed_tokens.weight[ids[0, :4]] * plain.config.embedding_scale)
        close(ours(ids[:, 4:]).logits, expected)
