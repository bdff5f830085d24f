"""llama2.c's files compute what transformers' Llama computes, in every version, with the ids of its tokenizer."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.interop.unsafe.llama import SIZES, logits, metas, oracle
from tests.tokenizer.families import FAMILIES, PROBES
from zoo.errors import CheckpointError, DataError
from zoo.interop.unsafe import UNSAFE
from zoo.interop.unsafe.llama2c import read_tokenizer
from zoo.tokenizer.foreign import open_tokenizer

ORDER = ["attention.wq", "attention.wk", "attention.wv", "attention.wo"]
INNER = ["feed_forward.w1", "feed_forward.w2", "feed_forward.w3"]


def raw(tensor: Tensor) -> bytes:
    return tensor.detach().numpy().astype("<f4").tobytes()


def of_layers(weights: dict[str, Tensor], names: list[str]) -> list[Tensor]:
    return [weights[f"layers.{layer}.{name}.weight"] for name in names for layer in range(SIZES["n_layers"])]


def header(tied: bool, version: int) -> bytes:
    numbers = [*SIZES.values()]
    if version == 0:
        numbers[5] *= 1 if tied else -1
        return struct.pack("<7i", *numbers)
    start = struct.pack("<Ii7iB", 0x616B3432, version, *numbers, tied) + (struct.pack("<i", 8) if version == 2 else b"")
    return start.ljust(256, b"\0")


def model_bin(weights: dict[str, Tensor], tied: bool, version: int) -> bytes:
    """The file, put together from what llama2.c's README and C code say of it."""
    output = [] if tied else [weights["output.weight"]]
    norms = of_layers(weights, ["attention_norm", "ffn_norm"])
    matrices = [weights["tok_embeddings.weight"], *of_layers(weights, ORDER + INNER), *output]
    if version == 0:
        names = ["attention_norm", *ORDER, "ffn_norm", *INNER]
        angles = torch.zeros(2 * SIZES["max_seq_len"] * SIZES["dim"] // SIZES["n_heads"] // 2)
        tensors = [matrices[0], *of_layers(weights, names), weights["norm.weight"], angles, *output]
        return header(tied, 0) + b"".join(map(raw, tensors))
    start = header(tied, version) + b"".join(map(raw, [*norms, weights["norm.weight"]]))
    if version == 1:
        return start + b"".join(map(raw, matrices))
    groups = [tensor.detach().reshape(-1, 8) for tensor in matrices]
    scales = [group.abs().amax(1) / 127 for group in groups]
    whole = [(group / scale[:, None]).round().to(torch.int8) for group, scale in zip(groups, scales, strict=True)]
    return start + b"".join(one.numpy().tobytes() for one in whole) + b"".join(map(raw, scales))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("version", [0, 1, 2])
def test_logits_are_transformers(version: int, tied: bool, tmp_path: Path) -> None:
    model = oracle(tied)
    (tmp_path / "model.bin").write_bytes(model_bin(metas(model), tied, version))
    read = UNSAFE["llama2c"](tmp_path)
    with torch.no_grad():
        found = read.build()(tokens=torch.arange(12)[None])["language_model"]
    rough = version == 2  # 127 steps from 0 to the largest of a group
    expected = logits(model)
    assert (found - expected).norm() / expected.norm() < (0.05 if rough else 1e-5)
    assert read.config.heads["language_model"].tied == tied  # type: ignore[attr-defined]


def test_the_pickle_is_the_same_model(tmp_path: Path) -> None:
    model = oracle()
    arguments = {name: SIZES[name] for name in ("dim", "n_layers", "n_heads", "n_kv_heads", "max_seq_len")}
    weights = {f"_orig_mod.{name}": tensor for name, tensor in metas(model).items()}
    torch.save({"model": weights, "model_args": arguments}, tmp_path / "ckpt.pt")
    read = UNSAFE["llama2c"](tmp_path / "ckpt.pt")
    with torch.no_grad():
        found = read.build()(tokens=torch.arange(12)[None])["language_model"]
    torch.testing.assert_close(found, logits(model), rtol=1e-4, atol=1e-4)


def test_damaged_files_are_told(tmp_path: Path) -> None:
    path, read = tmp_path / "model.bin", UNSAFE["llama2c"]
    whole = model_bin(metas(oracle()), True, 1)
    for content, told in (
        (whole[:-4], "it is cut or damaged"),
        (whole + b"\0", "it is cut or damaged"),
        (whole[:10], "it has only 10 bytes"),
        (whole[:4] + struct.pack("<i", 9) + whole[8:], "in version 9"),
        (b"\0" * 300, "does not say how large its model is"),
        (struct.pack("<7i", 15, 24, 2, 4, 2, 40, 32) + b"\0" * 300, "do not go together"),
    ):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=told):
            read(path)


# ------------------------------------------------------------------------------------------------------------ tokenizer


def tokenizer_bin(folder: Path) -> tuple[bytes, int]:
    """As llama2.c's tokenizer.py makes it of a SentencePiece model."""
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    written = b""
    for id in range(model.vocab_size()):
        piece = {1: "\n<s>\n", 2: "\n</s>\n"}.get(id, model.id_to_piece(id))
        if len(piece) == 6 and piece.startswith("<0x"):
            piece = chr(int(piece[3:5], 16))
        spelt = piece.replace("▁", " ").encode()
        written += struct.pack("<fI", model.get_score(id), len(spelt)) + spelt
    return struct.pack("<I", 99) + written, model.vocab_size()


def test_ids_are_sentencepieces(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    FAMILIES["llama"](tmp_path)
    content, size = tokenizer_bin(tmp_path)
    (tmp_path / "tokenizer.bin").write_bytes(content)
    ours, expected = read_tokenizer(tmp_path / "tokenizer.bin", size), open_tokenizer(tmp_path)
    for text in [*PROBES, "日本 🙂", "tab\tand\nline"]:
        assert ours.framed(text).tolist() == expected.framed(text).tolist(), text
        assert ours.decode(ours.encode(text)) == expected.decode(expected.encode(text))
    assert ours.roles == {"unknown": 0, "begin": 1, "end": 2}
    for harm in (content[:-1], content + b"\0", content[:40]):
        (tmp_path / "tokenizer.bin").write_bytes(harm)
        with pytest.raises(DataError, match=f"must hold {size} tokens and nothing else"):
            read_tokenizer(tmp_path / "tokenizer.bin", size)


def test_the_tokenizer_beside_a_model_comes_along(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    FAMILIES["llama"](tmp_path)
    content, size = tokenizer_bin(tmp_path)
    model = oracle(vocab_size=size)
    numbers = [SIZES["dim"], SIZES["hidden_dim"], 2, 4, 2, size, 32]
    body = model_bin(metas(model), True, 1)[256:]
    start = struct.pack("<Ii7iB", 0x616B3432, 1, *numbers, True).ljust(256, b"\0")
    folder = tmp_path / "stories"
    folder.mkdir()
    (folder / "stories.bin").write_bytes(start + body)
    (folder / "tokenizer.bin").write_bytes(content)
    read = UNSAFE["llama2c"](folder)
    assert read.tokenizer is not None
    assert read.tokenizer.vocab_size == read.config.vocab_size == size
    assert np.isfinite(read.weights["backbone.stack.norm.weight"].numpy()).all()
