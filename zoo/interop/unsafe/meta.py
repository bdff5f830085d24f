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
from zoo.interop.unsafe.base import UNSAFE, Read, plain_weights, read_pickle, refuse_difference, whole_numbers
from zoo.interop.weights import to_zoo
from zoo.tokenizer.foreign import find_tokenizer
from zoo.tokenizer.tiktoken import END_OF_TURN

SIZES = ("dim", "n_layers", "n_heads")
READ = (*SIZES, "n_kv_heads", "norm_eps", "max_seq_len", "rope_theta", "use_scaled_rope")
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
LLAMA_3_SCALING = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
"""What `use_scaled_rope` stands for: constants in Meta's code of Llama 3.1."""
LENGTH = 4096
"""Of Llama 2; these files do not say for how many positions a model was made."""


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
    _refuse_unknown(said, path)
    parts = [plain_weights(read_pickle(rank), rank) for rank in ranks]
    weights = joined(parts, sizes["dim"], place)
    tokenizer = find_tokenizer(place)
    config = {
        "hidden_size": sizes["dim"],
        "num_hidden_layers": sizes["n_layers"],
        "num_attention_heads": sizes["n_heads"],
        "num_key_value_heads": said.get("n_kv_heads") or sizes["n_heads"],
        "rms_norm_eps": said.get("norm_eps", 1e-5),
        "max_position_embeddings": said.get("max_seq_len", LENGTH),
        "rope_theta": said.get("rope_theta", 10_000.0),
        **({"rope_scaling": LLAMA_3_SCALING} if said.get("use_scaled_rope") else {}),
    }
    ours, read = as_llama(weights, config, place)
    turn = (
        [] if tokenizer is None else [id for id in tokenizer.special_ids.tolist() if tokenizer.token(id) == END_OF_TURN]
    )
    return Read(read_config("llama", read), ours, tokenizer, "llama", tuple(turn))


def _refuse_unknown(said: Mapping[str, Any], path: Path) -> None:
    """Raises ConfigError where params.json says what is not read here: it may change what the model computes."""
    known = (*READ, *TOLD_BY_WEIGHTS, *WITHOUT_EFFECT)
    if unknown := [f"{key}={value!r:.40}" for key, value in said.items() if key not in known]:
        raise ConfigError(
            f"{path}: {', '.join(unknown)}: not known here, and may change what the model computes (known: "
            f"{', '.join(known)}); if it does not in this model, take it out of the file"
        )


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
        elif module in BY_COLUMNS or (name == "tok_embeddings.weight" and first.shape[1] != dim):
            weights[name] = torch.cat(tensors, dim=1)
        else:
            weights[name] = torch.cat(tensors, dim=0)
    return weights


def as_llama(
    weights: Mapping[str, Tensor], config: dict[str, Any], place: Path
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Our weights of a Llama in Meta's names, and the config that transformers would say of it.

    Args:
        weights: by Meta's names. place: where they are from.
        config: what transformers says, without the vocabulary and the inner width, which the weights know.
    """
    named = {"tok_embeddings.weight", "layers.0.feed_forward.w1.weight"} - {*weights}
    if named:
        raise CheckpointError(f"{place} holds no Llama: it lacks {', '.join(sorted(named))}")
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
    tied = output is None or output is weights["tok_embeddings.weight"]
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


UNSAFE.add("meta", read_meta)
