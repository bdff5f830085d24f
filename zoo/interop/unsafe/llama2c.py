"""llama2.c's files (Karpathy 2023, github.com/karpathy/llama2.c): model.bin in its three versions, ckpt.pt,
tokenizer.bin.

    version 0   7 int32 (dim, inner width, layers, heads, key heads, vocabulary, length), float32 tensors, tables of
                angles; a negative vocabulary: the output layer has weights of its own, at the end
    version 1   "ak42", int32 version, the same 7 int32, one byte: whether the output layer is the token table;
                at byte 256 float32 tensors
    version 2   as 1, with the size of groups behind that byte; norms in float32, then each other tensor in int8, with
                its float32 scales, one for each group, right behind it

    tokenizer.bin   uint32 length of the longest token, then for each id float32 score, uint32 length, the bytes;
                    the tokens of single bytes, from id 3, are spelled <0x0A>, or as the character in files of July 2023

All are little-endian. The model is a Llama whose rotated channels stand in pairs.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.errors import CheckpointError, DataError
from zoo.interop.configs import read_config
from zoo.interop.unsafe.base import (
    UNSAFE,
    Format,
    Read,
    plain_weights,
    read_pickle,
    refuse_unknown,
    the_file,
    whole_numbers,
)
from zoo.interop.unsafe.meta import as_llama
from zoo.tokenizer.foreign import find_tokenizer
from zoo.tokenizer.framing import Frame, put_frame
from zoo.tokenizer.sentencepiece import SPACE, from_model
from zoo.tokenizer.special_tokens import SpecialTokens
from zoo.tokenizer.tokenizer import Tokenizer

MAGIC = 0x616B3432
NUMBERS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len")
PT_NUMBERS = ("dim", "n_layers", "n_heads", "max_seq_len")
PT_KNOWN = (*PT_NUMBERS, "n_kv_heads", "norm_eps", "vocab_size", "hidden_dim", "multiple_of", "dropout")
"""The model_args of a ckpt.pt. Shapes of the weights say the vocabulary and the inner width; dropout is a choice of a
run, and that of transformers' Llama has fewer places."""
DATA_START = 256
TOKENIZER_NAME = "tokenizer.bin"
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_BYTES = [f"<0x{byte:02X}>".encode() for byte in range(256)]
_BYTES_AT_FIRST = [chr(byte).encode() for byte in range(256)]
"""How tokens of single bytes are spelled, in order."""


class Header(NamedTuple):
    """What a .bin file says of itself.

    Attributes:
        version: 0, 1 or 2. sizes: by the names of NUMBERS. tied: whether the output layer is the token table.
        group: int8 that share a scale; 0 in versions 0 and 1.
    """

    version: int
    sizes: dict[str, int]
    tied: bool
    group: int


def read_llama2c(place: Path) -> Read:
    """The model in a .bin or .pt file, or in a folder that has one; the tokenizer from the folder.

    Raises:
        CheckpointError: it is no such file, or its length or its weights are not those that it says.
        DataError: tokenizer.bin is damaged.
    """
    path = _model_file(place)
    weights, sizes = _from_pickle(path) if path.suffix == ".pt" else _from_bin(path)
    config = {
        "hidden_size": sizes["dim"],
        "num_hidden_layers": sizes["n_layers"],
        "num_attention_heads": sizes["n_heads"],
        "num_key_value_heads": sizes.get("n_kv_heads") or sizes["n_heads"],
        "rms_norm_eps": sizes.get("norm_eps", 1e-5),
        "max_position_embeddings": sizes["max_seq_len"],
    }
    ours, read = as_llama(weights, config, path)
    own = path.with_name(TOKENIZER_NAME)
    tokenizer = read_tokenizer(own, read["vocab_size"]) if own.is_file() else find_tokenizer(path.parent)
    return Read(read_config("llama", read), ours, tokenizer, "llama")


def _model_file(place: Path) -> Path:
    if place.is_dir():
        found = sorted(path for kind in ("*.bin", "*.pt") for path in place.glob(kind) if path.name != TOKENIZER_NAME)
        if len(found) == 1:
            return found[0]
    return the_file(place, "model.bin", "ckpt.pt")


def _from_pickle(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    said = read_pickle(path)
    if not isinstance(said, dict) or not {"model", "model_args"} <= {*said}:
        raise CheckpointError(f"{path} is no checkpoint of llama2.c: it must hold model and model_args")
    sizes: dict[str, Any] = {**whole_numbers(said["model_args"], PT_NUMBERS, path)}
    refuse_unknown(said["model_args"], PT_KNOWN, f"{path}: model_args")
    if said["model_args"].get("n_kv_heads") is not None:  # None: as many as n_heads
        sizes |= whole_numbers(said["model_args"], ("n_kv_heads",), path)
    return plain_weights(said["model"], path), sizes | {"norm_eps": said["model_args"].get("norm_eps", 1e-5)}


# ----------------------------------------------------------------------------------------------------------------- .bin


def read_header(path: Path) -> Header:
    """What a .bin file says of itself; raises CheckpointError where it is none."""
    start = path.read_bytes()[:DATA_START] if path.stat().st_size < DATA_START else _first(path)
    if len(start) < 28:
        raise CheckpointError(f"{path} is no model.bin of llama2.c: it has only {len(start)} bytes")
    magic, version = struct.unpack_from("<Ii", start)
    if magic != MAGIC:
        numbers = dict(zip(NUMBERS, struct.unpack_from("<7i", start), strict=True))
        tied, version, group = numbers["vocab_size"] > 0, 0, 0
        numbers["vocab_size"] = abs(numbers["vocab_size"])
    elif version not in (1, 2) or len(start) < DATA_START:
        raise CheckpointError(
            f"{path} is model.bin of llama2.c in version {version}; versions 0, 1 and 2 are read here"
        )
    else:
        numbers = dict(zip(NUMBERS, struct.unpack_from("<7i", start, 8), strict=True))
        tied, group = bool(start[36]), struct.unpack_from("<i", start, 37)[0] if version == 2 else 0
    sizes = whole_numbers(numbers, NUMBERS, path)
    if sizes["dim"] % sizes["n_heads"] or sizes["n_heads"] % sizes["n_kv_heads"] or (version == 2 and group < 1):
        raise CheckpointError(f"{path} is no model.bin of llama2.c: its numbers do not go together ({numbers})")
    return Header(version, sizes, tied, group)


def _first(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(DATA_START)


def _shapes(sizes: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Of one layer's tensors."""
    width, inner = sizes["dim"], sizes["hidden_dim"]
    key_width = width // sizes["n_heads"] * sizes["n_kv_heads"]
    return {
        "attention_norm": (width,),
        "attention.wq": (width, width),
        "attention.wk": (key_width, width),
        "attention.wv": (key_width, width),
        "attention.wo": (width, width),
        "ffn_norm": (width,),
        "feed_forward.w1": (inner, width),
        "feed_forward.w2": (width, inner),
        "feed_forward.w3": (inner, width),
    }


def layout(header: Header) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tensors in the order of the file; "" for numbers that are passed over."""
    sizes, shapes = header.sizes, _shapes(header.sizes)
    table = ("tok_embeddings.weight", (sizes["vocab_size"], sizes["dim"]))
    last = ("norm.weight", (sizes["dim"],))
    norms = ("attention_norm", "ffn_norm")

    def of(name: str) -> Iterator[tuple[str, tuple[int, ...]]]:
        for layer in range(sizes["n_layers"]):
            yield f"layers.{layer}.{name}.weight", shapes[name]

    if header.version == 0:
        yield table
        for name in shapes:
            yield from of(name)
        yield last
        yield "", (2, sizes["max_seq_len"], sizes["dim"] // sizes["n_heads"] // 2)
    else:
        for name in norms:
            yield from of(name)
        yield last
        yield table
        for name in shapes:
            if name not in norms:
                yield from of(name)
    if not header.tied:
        yield "output.weight", table[1]


def _from_bin(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    header = read_header(path)
    # Version 2 has groups in all tensors but the norms.
    tensors = [(name, shape, header.group if len(shape) > 1 else 0) for name, shape in layout(header)]
    if any(group and math.prod(shape) % group for _, shape, group in tensors):
        raise CheckpointError(f"{path}: groups of {header.group} do not divide its tensors")
    start = DATA_START if header.version else struct.calcsize("<7i")
    needed = start + sum(_num_bytes(math.prod(shape), group) for _, shape, group in tensors)
    size = path.stat().st_size
    if size != needed:
        raise CheckpointError(f"{path} has {size:,} bytes; what its header says takes {needed:,}: it is cut or damaged")
    data = np.memmap(path, dtype=np.uint8, mode="r")
    weights = {}
    for name, shape, group in tensors:
        end = start + _num_bytes(math.prod(shape), group)
        if name:
            weights[name] = torch.from_numpy(_numbers(data[start:end], group, f"{path}: {name}")).reshape(shape)
        start = end
    return weights, header.sizes


def _num_bytes(count: int, group: int) -> int:
    """Of so many numbers: float32, or with a group int8 and a float32 scale for each group."""
    return count + 4 * (count // group) if group else 4 * count


def _numbers(raw: np.ndarray, group: int, what: str) -> np.ndarray:
    """The float32 numbers in these bytes, in memory of their own."""
    if not group:
        return np.frombuffer(raw.tobytes(), "<f4").astype(np.float32)
    count = raw.size * group // (group + 4)
    scales = np.frombuffer(raw[count:].tobytes(), "<f4")
    # Bytes read as what they are not have negative "scales", also where lengths agree (drafts of August 2023 had all
    # scales of a file at its end).
    if not ((scales >= 0) & (scales < np.inf)).all():
        raise CheckpointError(
            f"{what}: its scales are not all finite and 0 or more, so this is not version 2 as export.py of llama2.c "
            "writes it; export the model again"
        )
    return (raw[:count].view(np.int8).reshape(-1, group) * scales[:, None]).astype(np.float32).reshape(-1)


# ------------------------------------------------------------------------------------------------------------ tokenizer


def read_tokenizer(path: Path, vocab_size: int) -> Tokenizer:
    """The tokenizer in a tokenizer.bin.

    Args:
        path: of the file.
        vocab_size: how many tokens it must have.

    Raises:
        DataError: it is damaged, or has another number of tokens.
    """
    pieces, scores = _tokens(path, vocab_size)
    spelt = []
    has_bytes = pieces[3:259] in (_BYTES, _BYTES_AT_FIRST)
    for id, (piece, score) in enumerate(zip(pieces, scores, strict=True)):
        text, kind = piece.decode("utf-8", errors="replace").replace(" ", SPACE), _NORMAL
        if id < 3:
            text, kind = ("<unk>", "<s>", "</s>")[id], _UNKNOWN if id == 0 else _CONTROL
        elif has_bytes and id < 259:
            text, kind = f"<0x{id - 3:02X}>", _BYTE
        spelt.append(SimpleNamespace(piece=text, score=score, type=kind))
    model: Any = SimpleNamespace(
        pieces=spelt,
        trainer_spec=SimpleNamespace(model_type=2, byte_fallback=has_bytes, treat_whitespace_as_suffix=False),
        normalizer_spec=SimpleNamespace(
            precompiled_charsmap=b"", remove_extra_whitespaces=False, add_dummy_prefix=True
        ),
    )
    library = from_model(model, path)
    special = SpecialTokens({"unknown": "<unk>", "begin": "<s>", "end": "</s>"})
    put_frame(library, Frame(("begin",), (), ("begin",), ()), special)
    return Tokenizer(library.to_str(pretty=True), special)


def _tokens(path: Path, vocab_size: int) -> tuple[list[bytes], list[float]]:
    data, place = path.read_bytes(), 4
    pieces: list[bytes] = []
    scores: list[float] = []
    while place < len(data) and len(pieces) < vocab_size:
        if place + 8 > len(data):
            break
        score, length = struct.unpack_from("<fI", data, place)
        place += 8 + length
        pieces.append(data[place - length : place])
        scores.append(score)
    if place != len(data) or len(pieces) != vocab_size:
        raise DataError(f"{path} must hold {vocab_size} tokens and nothing else: it is damaged, or of another model")
    return pieces, scores


UNSAFE.add("llama2c", Format(read_llama2c, "file", ("model.bin", "*.bin", "*.pt")))
