"""A policy and a reference on the same weights in transformers and here, for comparisons with trl's trainers."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import safe_open

from groundup.models.decoder import Decoder
from groundup.models.directory import load_model, save_model

VOCAB, CONTEXT = 64, 64


class Peers:
    """A policy and a reference as transformers models and as ours, and a tokenizer of words w0 .. w59."""

    def __init__(self, directory: Path, seed: int) -> None:
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

        torch.manual_seed(seed)
        words = {f"w{i}": i for i in range(60)} | {"<pad>": 60, "<eos>": 61, "<unk>": 62}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        self.tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
        )
        config = LlamaConfig(
            vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=CONTEXT, initializer_range=0.15, pad_token_id=60,
            eos_token_id=61, bos_token_id=None, tie_word_embeddings=False,
        )  # fmt: skip
        self.directory = directory
        self.policy, self.reference = LlamaForCausalLM(config), LlamaForCausalLM(config)
        self.ours: list[Decoder] = []
        for name, model in (("policy", self.policy), ("reference", self.reference)):
            model.save_pretrained(directory / name)
            self.ours.append(load_model(directory / name))

    def same_gradients(self) -> None:
        """Ours, saved as tensors of the family, are theirs by name."""
        holder = Decoder(self.ours[0].config)
        with torch.no_grad():
            for ours, place in zip(self.ours[0].parameters(), holder.parameters(), strict=True):
                assert ours.grad is not None
                place.copy_(ours.grad)
        save_model(holder, self.directory / "gradients")
        theirs = {name: p.grad for name, p in self.policy.named_parameters()}
        with safe_open(self.directory / "gradients" / "model.safetensors", framework="pt") as file:
            assert set(file.keys()) == set(theirs)
            for name in file.keys():  # noqa: SIM118
                scale = max(1e-3, theirs[name].abs().max().item())
                torch.testing.assert_close(file.get_tensor(name), theirs[name], rtol=1e-4, atol=2e-5 * scale)
        self.policy.zero_grad(set_to_none=True)
        self.ours[0].zero_grad(set_to_none=True)
