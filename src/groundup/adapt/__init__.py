"""Model to model: adapters. `apply` puts one on a decoder, `select` chooses one per row of a batch, `merge` adds one to the
weights, `save_adapter` and `load_adapter` speak PEFT's files. Quantisation for serving, pruning and model merging come later.
"""

from .attach import (
    AdapterTransform,
    adapter_names,
    apply,
    remove,
    select,
    trainable_parameters,
)
from .configs import AdapterNode, BottleneckConfig, IA3Config, LoRAConfig, PrefixConfig, PromptConfig
from .merge import merge, unmerge
from .peft_files import load_adapter, save_adapter

__all__ = [
    "AdapterNode",
    "AdapterTransform",
    "BottleneckConfig",
    "IA3Config",
    "LoRAConfig",
    "PrefixConfig",
    "PromptConfig",
    "adapter_names",
    "apply",
    "load_adapter",
    "merge",
    "remove",
    "save_adapter",
    "select",
    "trainable_parameters",
    "unmerge",
]
