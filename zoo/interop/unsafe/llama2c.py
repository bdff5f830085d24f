"""llama2.c's files (Karpathy 2023, github.com/karpathy/llama2.c): model.bin in its three versions, ckpt.pt,
tokenizer.bin.

    version 0   7 int32 (dim, inner width, layers, heads, key heads, vocabulary, length), float32 tensors, tables of
    angles;
                a negative vocabulary: the output layer has weights of its own, at the end
    version 1   "ak42", int32 version, the same 7 int32, one byte: whether the output layer is the token table;
                at byte 256 float32 tensors
    version 2   as 1, with the size of groups behind that byte; norms in float32, the rest in int8 with a float32 scale
    for
                each group, all scales behind all int8 (read as float32)

    tokenizer.bin   uint32 length of the longest token, then for each id float32 score, uint32 length, the bytes

All are little-endian. The model is a Llama whose rotated channels stand in pairs.
"""

from __future__ import annotations

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
from zoo.interop.unsafe.base import UNSAFE, Read, plain_weights, read_pickle, the_file, whole_numbers
from zoo.interop.unsafe.meta import as_llama
from zoo.tokenizer.foreign import find_tokenizer
from zoo.tokenizer.framing import Frame, put_frame
from zoo.tokenizer.sentencepiece import SPACE, from_model
from zoo.tokenizer.special_tokens import SpecialTokens
from zoo.tokenizer.tokenizer import Tokenizer

MAGIC = 0x616B3432
NUMBERS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len")
PT_NUMBERS = ("dim", "n_layers", "n_heads", "max_seq_len")
DATA_START = 256
TOKENIZER_NAME = "tokenizer.bin"
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6


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
        "rms_norm_eps": 1e-5,
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


def _from_pickle(path: Path) -> tuple[dict[str, Tensor], dict[str, int]]:
    said = read_pickle(path)
    if not isinstance(said, dict) or not {"model", "model_args"} <= {*said}:
        raise CheckpointError(f"{path} is no checkpoint of llama2.c: it must hold model and model_args")
    sizes = whole_numbers(said["model_args"], PT_NUMBERS, path)
    kv_heads = said["model_args"].get("n_kv_heads")
    weights = plain_weights(said["model"], path)
    output = weights.get("output.weight")
    if output is not None and torch.equal(output, weights.get("tok_embeddings.weight", output.new_empty(0))):
        del weights["output.weight"]
    return weights, {**sizes, **({"n_kv_heads": kv_heads} if kv_heads else {})}


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


def _from_bin(path: Path) -> tuple[dict[str, Tensor], dict[str, int]]:
    header = read_header(path)
    tensors = list(layout(header))
    counts = [int(np.prod(shape)) for _, shape in tensors]
    is_whole = [header.version < 2 or len(shape) == 1 for _, shape in tensors]
    if any(count % header.group for count, whole in zip(counts, is_whole, strict=True) if not whole):
        raise CheckpointError(f"{path}: groups of {header.group} do not divide its tensors")
    start = DATA_START if header.version else 28
    needed = start + sum(
        4 * count if whole else count + 4 * (count // header.group)
        for count, whole in zip(counts, is_whole, strict=True)
    )
    size = path.stat().st_size
    if size != needed:
        raise CheckpointError(f"{path} has {size:,} bytes; what its header says takes {needed:,}: it is cut or damaged")
    data = np.memmap(path, dtype=np.uint8, mode="r")
    scales = start + sum(4 * count if whole else count for count, whole in zip(counts, is_whole, strict=True))
    weights = {}
    for (name, shape), count, whole in zip(tensors, counts, is_whole, strict=True):
        width = 4 * count if whole else count
        raw, start = data[start : start + width], start + width
        if whole:
            numbers = (
                raw.view("<f4").astype(np.float32) if raw.ctypes.data % 4 == 0 else np.frombuffer(raw.tobytes(), "<f4")
            )
        else:
            end = scales + 4 * (count // header.group)
            scale = np.frombuffer(data[scales:end].tobytes(), "<f4")
            numbers, scales = (raw.view(np.int8).reshape(-1, header.group) * scale[:, None]).astype(np.float32), end
        if name:
            weights[name] = torch.from_numpy(np.array(numbers, dtype=np.float32)).reshape(shape)
    return weights, header.sizes


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
    has_bytes = len(pieces) >= 259 and all(pieces[3 + byte] == chr(byte).encode() for byte in range(256))
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


UNSAFE.add("llama2c", read_llama2c)
