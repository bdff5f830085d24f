"""nanoGPT's ckpt.pt (Karpathy 2022, github.com/karpathy/nanoGPT): GPT-2 with GELU as it is, biases or none of them.

{"model_args": {n_layer, n_head, n_embd, block_size, bias, vocab_size, dropout}, "model": weights, …}. The vocabulary is
often padded from 50,257 to 50,304. The tokenizer is GPT-2's or one of characters, and is not in the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.config import build
from zoo.errors import CheckpointError, ConfigError
from zoo.interop.unsafe.base import (
    UNSAFE,
    Format,
    Read,
    plain_weights,
    read_pickle,
    refuse_difference,
    refuse_unknown,
    the_file,
    whole_numbers,
)
from zoo.models import ModelConfig

SIZES = ("n_layer", "n_head", "n_embd", "block_size", "vocab_size")
TABLE, OUTPUT = "transformer.wte.weight", "lm_head.weight"
BLOCK = {
    "ln_1": "self_attention.before",
    "attn.c_proj": "self_attention.sublayer.output",
    "ln_2": "feed_forward.before",
    "mlp.c_fc": "feed_forward.sublayer.input",
    "mlp.c_proj": "feed_forward.sublayer.output",
}
FUSED = ("query", "key", "value")
FILES = ("ckpt.pt", "*.pt")


def read_nanogpt(place: Path) -> Read:
    """The model in a ckpt.pt, or in a folder that has one.

    Raises:
        CheckpointError: it is no such file, or its weights are not those that it says, with all differences.
        ConfigError: model_args that are not known, or of a wrong type.
    """
    path = the_file(place, *FILES)
    said = read_pickle(path)
    if not isinstance(said, dict) or not {"model", "model_args"} <= {*said}:
        raise CheckpointError(f"{path} is no checkpoint of nanoGPT: it must hold model and model_args")
    arguments = said["model_args"]
    sizes = whole_numbers(arguments, SIZES, path)
    refuse_unknown(arguments, (*SIZES, "bias", "dropout"), f"{path}: model_args")
    bias, dropout = arguments.get("bias", True), arguments.get("dropout", 0.0)
    if type(bias) is not bool or type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise ConfigError(
            f"{path}: model_args: bias={bias!r:.40}, dropout={dropout!r:.40}: bias must be true or false, dropout a "
            "number from 0 to below 1"
        )
    weights = plain_weights(said["model"], path)
    # Older files hold a mask for each layer.
    masks = {name for name, tensor in weights.items() if name.endswith("attn.bias") and tensor.ndim == 4}
    weights = {name: tensor for name, tensor in weights.items() if name not in masks}
    shapes = _shapes(sizes, bias)
    refuse_difference(weights, shapes | ({OUTPUT: shapes[TABLE]} if OUTPUT in weights else {}), path)
    if OUTPUT in weights and not torch.equal(weights[OUTPUT], weights[TABLE]):
        raise CheckpointError(
            f"{path}: {OUTPUT} is not {TABLE}, and nanoGPT's output layer is its token table; this is another model"
        )
    config = _config(sizes, bias, float(dropout))
    return Read(config, _ours(weights, sizes["n_layer"], bias), architecture="gpt2" if bias else None)


def _config(sizes: dict[str, int], bias: bool, dropout: float) -> ModelConfig:
    settings: dict[str, Any] = {
        "kind": "decoder",
        "dim": sizes["n_embd"],
        "num_layers": sizes["n_layer"],
        "num_heads": sizes["n_head"],
        "max_length": sizes["block_size"],
        "vocab_size": sizes["vocab_size"],
        "placement": "pre",
        "norm": {"kind": "layer_norm", "bias": bias},
        "positions": {"kind": "learned"},
        "attention": {f"{part}_bias": bias for part in (*FUSED, "output")},
        "feed_forward": {"kind": "plain", "activation": "gelu", "bias": bias},
        "heads": {"language_model": {"kind": "language_model", "tied": True}},
        "initialization": {"kind": "gpt2"},
        "dropout": {"residual": dropout, "embedding": dropout, "attention": dropout},
    }
    config = build(ModelConfig, settings)
    assert isinstance(config, ModelConfig)
    return config


def _shapes(sizes: dict[str, int], bias: bool) -> dict[str, tuple[int, ...]]:
    width = sizes["n_embd"]
    shapes: dict[str, tuple[int, ...]] = {
        TABLE: (sizes["vocab_size"], width),
        "transformer.wpe.weight": (sizes["block_size"], width),
        "transformer.ln_f.weight": (width,),
    }
    tables = {*shapes} - {"transformer.ln_f.weight"}
    matrices = {"attn.c_attn": (3 * width, width), "attn.c_proj": (width, width)}
    matrices |= {"mlp.c_fc": (4 * width, width), "mlp.c_proj": (width, 4 * width)}
    for layer in range(sizes["n_layer"]):
        under = f"transformer.h.{layer}"
        shapes |= {f"{under}.{name}.weight": shape for name, shape in matrices.items()}
        shapes |= {f"{under}.{name}.weight": (width,) for name in ("ln_1", "ln_2")}
    if bias:
        shapes |= {n.replace(".weight", ".bias"): shape[:1] for n, shape in shapes.items() if n not in tables}
    return shapes


def _ours(weights: dict[str, Tensor], num_layers: int, bias: bool) -> dict[str, Tensor]:
    ours = {
        "backbone.embedding.tokens.weight": weights[TABLE],
        "backbone.stack.schemes.0.table.weight": weights["transformer.wpe.weight"],
    }
    for kind in ("weight", "bias") if bias else ("weight",):
        ours[f"backbone.stack.norm.{kind}"] = weights[f"transformer.ln_f.{kind}"]
        for layer in range(num_layers):
            theirs, under = f"transformer.h.{layer}", f"backbone.stack.blocks.{layer}"
            for name, place in BLOCK.items():
                ours[f"{under}.{place}.{kind}"] = weights[f"{theirs}.{name}.{kind}"]
            for part, tensor in zip(FUSED, weights[f"{theirs}.attn.c_attn.{kind}"].chunk(3), strict=True):
                ours[f"{under}.self_attention.sublayer.project.{part}.{kind}"] = tensor
    return ours


UNSAFE.add("nanogpt", Format(read_nanogpt, "file", FILES))
