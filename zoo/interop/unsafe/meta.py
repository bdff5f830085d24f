"""Meta's own folders of Llama: params.json, consolidated.00.pth … (one file a rank), tokenizer.model.

Matrices are cut into as many parts as there are ranks: most by rows, the two that write to the residual by columns, the
token table by columns (Llama 2) or by rows (Llama 3). Rotated channels stand in pairs there (Su et al. 2021) and in
halves in transformers' layout, which our tables read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import CheckpointError, ConfigError
from zoo.interop.configs import read_config
from zoo.interop.unsafe.base import (
    UNSAFE,
    Format,
    Read,
    plain_weights,
    read_pickle,
    refuse_difference,
    refuse_unknown,
    whole_numbers,
)
from zoo.interop.weights import to_zoo
from zoo.tokenizer.foreign import find_tokenizer
from zoo.tokenizer.tiktoken import END_OF_TURN

SIZES = ("dim", "n_layers", "n_heads")
FACTOR, HIGH_FACTOR = "rope_scaling_factor", "rope_high_freq_factor"
READ = (*SIZES, "n_kv_heads", "norm_eps", "max_seq_len", "rope_theta", "use_scaled_rope", FACTOR, HIGH_FACTOR)
TOLD_BY_WEIGHTS = ("vocab_size", "multiple_of", "ffn_dim_multiplier")
"""Keys of params.json that lead to shapes of the weights, which say them better (a vocabulary of −1: ask elsewhere)."""
WITHOUT_EFFECT = ("max_batch_size",)
LAYER = {
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
BY_COLUMNS = ("attention.wo", "feed_forward.w2")
SCALED = {(4096, 32): 8.0, (8192, 80): 8.0, (16384, 126): 8.0, (2048, 16): 32.0, (3072, 28): 32.0}
"""(dim, n_layers) of the published models with `use_scaled_rope` → the factor by which their slow angles are slowed:
Llama 3.1 and 3.3 have 8, Llama 3.2 has 32. Their params.json does not say it, and Meta's code has 8 for all of them,
which is wrong for Llama 3.2 (https://github.com/meta-llama/llama-models/issues/166)."""
SCALED_LENGTH, ORIGINAL_LENGTH = 131_072, 8192
LENGTHS = {500_000.0: ORIGINAL_LENGTH, 1_000_000.0: 16_384}
LENGTH = 4096
"""Positions of Llama 3.1 to 3.3, of Llama 3 and Code Llama, by their `rope_theta`, and of Llama 2; the files do not say
for how many positions a model was made."""


def read_meta(place: Path) -> Read:
    """The model in one of Meta's folders.

    Raises:
        CheckpointError: a file is missing or damaged, or the weights are not those that it says.
        ConfigError: settings that are not covered, or not known.
    """
    path = place / "params.json"
    ranks = sorted(place.glob("consolidated.*.pth"))
    if not path.is_file() or not ranks:
        raise CheckpointError(f"{place} is none of Meta's folders: it must hold params.json and consolidated.*.pth")
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot read {path}: {error}") from None
    sizes = whole_numbers(said, SIZES, path)
    refuse_unknown(said, (*READ, *TOLD_BY_WEIGHTS, *WITHOUT_EFFECT), str(path))
    kv_heads = {} if said.get("n_kv_heads") is None else whole_numbers(said, ("n_kv_heads",), path)
    parts = [plain_weights(read_pickle(rank), rank) for rank in ranks]
    weights = joined(parts, sizes["dim"], place)
    tokenizer = find_tokenizer(place)
    config = {
        "hidden_size": sizes["dim"],
        "num_hidden_layers": sizes["n_layers"],
        "num_attention_heads": sizes["n_heads"],
        "num_key_value_heads": kv_heads.get("n_kv_heads", sizes["n_heads"]),
        "rms_norm_eps": said.get("norm_eps", 1e-5),
        **rotation(said, path),
    }
    ours, read = as_llama(weights, config, place)
    turn = (
        [] if tokenizer is None else [id for id in tokenizer.special_ids.tolist() if tokenizer.token(id) == END_OF_TURN]
    )
    return Read(read_config("llama", read), ours, tokenizer, "llama", tuple(turn))


def rotation(said: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """How positions rotate, and how many there are, as transformers says it."""
    theta = said.get("rope_theta", 10_000.0)
    if type(theta) not in (int, float):
        raise ConfigError(f"{path}: rope_theta={theta!r:.40} must be a number")
    if not said.get("use_scaled_rope"):
        if idle := [name for name in (FACTOR, HIGH_FACTOR) if said.get(name) is not None]:
            raise ConfigError(f"{path}: {', '.join(idle)}: nothing reads it where use_scaled_rope is not true")
        return {"rope_theta": theta, "max_position_embeddings": said.get("max_seq_len", LENGTHS.get(theta, LENGTH))}
    sizes = (said["dim"], said["n_layers"])
    factor = said.get(FACTOR) or SCALED.get(sizes)
    if factor is None:
        raise ConfigError(
            f"{path}: use_scaled_rope does not say by how much, and no published model has dim={sizes[0]} with "
            f'n_layers={sizes[1]}; add "{FACTOR}": 8.0 (as Llama 3.1 and 3.3) or 32.0 (as Llama 3.2)'
        )
    scaling = {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": said.get(HIGH_FACTOR) or 4.0,
        "original_max_position_embeddings": ORIGINAL_LENGTH,
    }
    length = said.get("max_seq_len", SCALED_LENGTH)
    return {"rope_theta": theta, "rope_scaling": scaling, "max_position_embeddings": length}


def joined(parts: list[dict[str, Tensor]], dim: int, place: Path) -> dict[str, Tensor]:
    """The weights of all ranks as one."""
    if any(part.keys() != parts[0].keys() for part in parts):
        raise CheckpointError(f"{place}: its files of weights do not hold the same names, so they are not of one model")
    weights = {}
    for name, first in parts[0].items():
        if name == "rope.freqs":
            continue
        tensors = [part[name] for part in parts]
        module = name.removesuffix(".weight").split(".", 2)[-1]
        if len(parts) == 1 or first.ndim == 1:
            weights[name] = first
            continue
        by_columns = module in BY_COLUMNS or (name == "tok_embeddings.weight" and first.shape[-1:] != (dim,))
        try:
            weights[name] = torch.cat(tensors, dim=int(by_columns))
        except (RuntimeError, IndexError):
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
            raise CheckpointError(f"{place}: the parts of {name} do not fit together: {shapes}") from None
    return weights


def as_llama(
    weights: Mapping[str, Tensor], config: dict[str, Any], place: Path
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Our weights of a Llama in Meta's names, and the config that transformers would say of it.

    Args:
        weights: by Meta's names. place: where they are from.
        config: what transformers says, without the vocabulary and the inner width, which the weights know.
    """
    matrices = {name for name, tensor in weights.items() if tensor.ndim == 2}
    if named := {"tok_embeddings.weight", "layers.0.feed_forward.w1.weight"} - matrices:
        raise CheckpointError(f"{place} holds no Llama: it lacks the matrices {', '.join(sorted(named))}")
    vocabulary, width = weights["tok_embeddings.weight"].shape
    inner = len(weights["layers.0.feed_forward.w1.weight"])
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    key_dim = width // heads * kv_heads
    shapes: dict[str, tuple[int, ...]] = {"tok_embeddings.weight": (vocabulary, width), "norm.weight": (width,)}
    of_layer = {
        "attention.wq": (width, width),
        "attention.wk": (key_dim, width),
        "attention.wv": (key_dim, width),
        "attention.wo": (width, width),
        "feed_forward.w1": (inner, width),
        "feed_forward.w2": (width, inner),
        "feed_forward.w3": (inner, width),
        "attention_norm": (width,),
        "ffn_norm": (width,),
    }
    for layer in range(config["num_hidden_layers"]):
        shapes |= {f"layers.{layer}.{name}.weight": shape for name, shape in of_layer.items()}
    output = weights.get("output.weight")
    # Llama 3.2 ties the two and its files hold both.
    tied = output is None or torch.equal(output, weights["tok_embeddings.weight"])
    shapes |= {} if output is None else {"output.weight": (vocabulary, width)}
    refuse_difference(weights, shapes, place)
    theirs = {
        "model.embed_tokens.weight": weights["tok_embeddings.weight"],
        "model.norm.weight": weights["norm.weight"],
    }
    if output is not None and not tied:
        theirs["lm_head.weight"] = output
    for layer in range(config["num_hidden_layers"]):
        for name, place_there in LAYER.items():
            tensor = weights[f"layers.{layer}.{name}.weight"]
            if name in ("attention.wq", "attention.wk"):
                tensor = in_halves(tensor, heads if name == "attention.wq" else kv_heads)
            theirs[f"model.layers.{layer}.{place_there}.weight"] = tensor
    config = {**config, "vocab_size": vocabulary, "intermediate_size": inner, "tie_word_embeddings": tied}
    return to_zoo("llama", theirs, config), config


def in_halves(weight: Tensor, num_heads: int) -> Tensor:
    """Rows of each head that stand in pairs (0, 1), (2, 3), …, as first members and then second ones."""
    return weight.unflatten(0, (num_heads, -1, 2)).transpose(1, 2).flatten(0, 2)


UNSAFE.add("meta", Format(read_meta, "folder", ("params.json", "consolidated.*.pth")))
