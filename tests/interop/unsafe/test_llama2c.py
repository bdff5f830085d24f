"""llama2.c's files compute what transformers' Llama computes, in every version, with the ids of its tokenizer.

The files are put together here as llama2.c's export.py, tokenizer.py, run.c and runq.c lay them out, tensor by tensor,
and not from what the reader says of them.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from tests.interop.unsafe.llama import SIZES, logits, metas, oracle
from tests.tokenizer.families import FAMILIES, PROBES
from zoo.errors import CheckpointError, ConfigError, DataError
from zoo.importing import import_model
from zoo.interop.unsafe import UNSAFE
from zoo.interop.unsafe.llama2c import read_tokenizer

GROUP = 8


class File:
    """A model.bin in the making.

    Args:
        model: whose weights go in; of version 2 it gets those that the file has, which are rounded.
        version: of the file. tied: whether the output layer is the token table.
    """

    def __init__(self, model: transformers.LlamaForCausalLM, version: int, tied: bool) -> None:
        self.weights, self.version, self.tied = metas(model), version, tied
        self.content = bytearray()
        self.rounded: dict[str, Tensor] = {}

    def floats(self, tensor: Tensor) -> None:
        for number in tensor.detach().flatten().tolist():
            self.content += struct.pack("<f", number)

    def matrix(self, name: str) -> None:
        """Float32, or in version 2 the int8 of all groups, and then one scale for each group."""
        tensor = self.weights[name]
        if self.version < 2:
            self.floats(tensor)
            return
        rows = tensor.detach().reshape(-1, GROUP)
        scales = rows.abs().amax(1) / 127
        whole = (rows / scales[:, None]).round()
        self.content += struct.pack(f"<{whole.numel()}b", *whole.int().flatten().tolist())
        self.floats(scales)
        self.rounded[name] = (whole * scales[:, None]).reshape(tensor.shape)

    def each_layer(self, *modules: str) -> None:
        for module in modules:
            for layer in range(SIZES["n_layers"]):
                name = f"layers.{layer}.{module}.weight"
                if module.endswith("norm"):
                    self.floats(self.weights[name])
                else:
                    self.matrix(name)

    def write(self) -> bytes:
        numbers = [*SIZES.values()]
        numbers[5] = len(self.weights["tok_embeddings.weight"])
        if self.version == 0:
            numbers[5] *= 1 if self.tied else -1
            self.content += struct.pack("<7i", *numbers)
            self.matrix("tok_embeddings.weight")
            self.each_layer("attention_norm", "attention.wq", "attention.wk", "attention.wv", "attention.wo")
            self.each_layer("ffn_norm", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3")
            self.floats(self.weights["norm.weight"])
            half_a_head = SIZES["dim"] // SIZES["n_heads"] // 2
            for _ in ("cosine", "sine"):
                self.floats(torch.ones(SIZES["max_seq_len"], half_a_head))
        else:
            self.content += b"24ka" + struct.pack("<i", self.version) + struct.pack("<7i", *numbers)
            self.content += bytes([self.tied]) + (struct.pack("<i", GROUP) if self.version == 2 else b"")
            self.content += b"\0" * (256 - len(self.content))
            self.each_layer("attention_norm", "ffn_norm")
            self.floats(self.weights["norm.weight"])
            self.matrix("tok_embeddings.weight")
            self.each_layer("attention.wq", "attention.wk", "attention.wv", "attention.wo")
            self.each_layer("feed_forward.w1", "feed_forward.w2", "feed_forward.w3")
        if not self.tied:
            self.matrix("output.weight")
        return bytes(self.content)


def in_halves(weight: Tensor, heads: int) -> Tensor:
    """Meta's pairs of rows → transformers' halves, row by row."""
    size = len(weight) // heads
    order = [head * size + 2 * pair + member for head in range(heads) for member in (0, 1) for pair in range(size // 2)]
    return weight[order]


def rounded(file: File, tied: bool) -> transformers.LlamaForCausalLM:
    """The model of a file of version 2 as it is after rounding."""
    model = oracle(tied)
    for name, theirs in model.state_dict().items():
        metas_name = name.replace("model.", "").replace("embed_tokens", "tok_embeddings").replace("lm_head", "output")
        for one, other in (
            ("self_attn.q_proj", "attention.wq"),
            ("self_attn.k_proj", "attention.wk"),
            ("self_attn.v_proj", "attention.wv"),
            ("self_attn.o_proj", "attention.wo"),
            ("mlp.gate_proj", "feed_forward.w1"),
            ("mlp.down_proj", "feed_forward.w2"),
            ("mlp.up_proj", "feed_forward.w3"),
        ):
            metas_name = metas_name.replace(one, other)
        if metas_name in file.rounded:
            heads = {"q_proj": 4, "k_proj": 2}.get(name.split(".")[-2], 0)
            tensor = file.rounded[metas_name]
            theirs.copy_(in_halves(tensor, heads) if heads else tensor)
    return model


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("version", [0, 1, 2])
def test_logits_are_transformers(version: int, tied: bool, tmp_path: Path) -> None:
    model = oracle(tied)
    file = File(model, version, tied)
    (tmp_path / "model.bin").write_bytes(file.write())
    read = UNSAFE["llama2c"].read(tmp_path)
    with torch.no_grad():
        found = read.build()(tokens=torch.arange(12)[None])["language_model"]
    expected = logits(model)
    if version == 2:  # 127 steps from 0 to the largest of a group
        assert (found - expected).norm() / expected.norm() < 0.05
        expected = logits(rounded(file, tied))
        assert torch.equal(read.weights["backbone.embedding.tokens.weight"], file.rounded["tok_embeddings.weight"])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert read.config.heads["language_model"].tied == tied  # type: ignore[attr-defined]


def test_scales_that_stand_elsewhere_are_refused(tmp_path: Path) -> None:
    """As drafts of August 2023 wrote them: all scales behind all int8. Lengths cannot tell the two apart."""
    file = File(oracle(), 2, True)
    content = file.write()
    start = 256 + 4 * 5 * SIZES["dim"]  # behind the norms
    whole, scales, place = b"", b"", start
    for tensor in file.rounded.values():
        middle = place + tensor.numel()
        end = middle + 4 * tensor.numel() // GROUP
        whole, scales, place = whole + content[place:middle], scales + content[middle:end], end
    assert place == len(content)
    (tmp_path / "model.bin").write_bytes(content[:start] + whole + scales)
    with pytest.raises(CheckpointError, match=r"tok_embeddings\.weight: its scales are not all finite and 0 or more"):
        UNSAFE["llama2c"].read(tmp_path)


NAMES = ("dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len")
ARGUMENTS: dict[str, Any] = {name: SIZES[name] for name in NAMES} | {"multiple_of": 4, "dropout": 0.0}


def pickled(folder: Path, model: transformers.LlamaForCausalLM, **changed: Any) -> Path:
    """A ckpt.pt as train.py saves it, the output layer under its own name too."""
    weights = {f"_orig_mod.{name}": tensor for name, tensor in metas(model).items()}
    said = {"model": weights, "optimizer": {}, "model_args": ARGUMENTS | changed, "iter_num": 3, "config": {}}
    torch.save(said, folder / "ckpt.pt")
    return folder / "ckpt.pt"


@pytest.mark.parametrize("tied", [True, False])
def test_the_pickle_is_the_same_model(tied: bool, tmp_path: Path) -> None:
    model = oracle(tied)
    read = UNSAFE["llama2c"].read(pickled(tmp_path, model))
    with torch.no_grad():
        found = read.build()(tokens=torch.arange(12)[None])["language_model"]
    torch.testing.assert_close(found, logits(model), rtol=1e-4, atol=1e-4)
    assert read.config.heads["language_model"].tied == tied  # type: ignore[attr-defined]


def test_what_a_pickle_says_is_read_or_refused(tmp_path: Path) -> None:
    read, model = UNSAFE["llama2c"].read, oracle()
    assert read(pickled(tmp_path, model, norm_eps=0.5)).config.norm.eps == 0.5  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"model_args: rope_theta=5, window=8: not known here"):
        read(pickled(tmp_path, model, rope_theta=5, window=8))
    with pytest.raises(CheckpointError, match="n_kv_heads='x'"):
        read(pickled(tmp_path, model, n_kv_heads="x"))


def test_damaged_files_are_told(tmp_path: Path) -> None:
    path, read = tmp_path / "model.bin", UNSAFE["llama2c"].read
    whole = File(oracle(), 1, True).write()
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


def tokenizer_bin(processor: Any, at_first: bool = False) -> bytes:
    """As tokenizer.py makes it of a SentencePiece model, today or in July 2023 (single bytes as characters)."""
    pieces: list[bytes] = []
    for id in range(processor.vocab_size()):
        piece = processor.id_to_piece(id)
        if id == processor.bos_id():
            piece = "\n<s>\n"
        elif id == processor.eos_id():
            piece = "\n</s>\n"
        elif at_first and processor.is_byte(id):
            piece = chr(int(piece[3:5], 16))
        pieces.append(piece.replace("▁", " ").encode())
    content = struct.pack("<I", max(map(len, pieces)))
    for id, piece in enumerate(pieces):
        content += struct.pack("<f", processor.get_score(id)) + struct.pack("<I", len(piece)) + piece
    return content


def processor_in(folder: Path) -> Any:
    """A SentencePiece model with byte tokens, as Llama has one."""
    sentencepiece = pytest.importorskip("sentencepiece", reason="the package sentencepiece is not installed")
    FAMILIES["llama"](folder)
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))


TEXTS = [*PROBES, "日本 🙂", "tab\tand\nline", 'Once upon a time\n\n"Hi", said <0x0A>', "  two", "\n"]


@pytest.mark.parametrize("at_first", [False, True])
def test_ids_are_sentencepieces(at_first: bool, tmp_path: Path) -> None:
    processor, path = processor_in(tmp_path), tmp_path / "tokenizer.bin"
    path.write_bytes(tokenizer_bin(processor, at_first))
    ours = read_tokenizer(path, processor.vocab_size())
    for text in TEXTS:
        ids = processor.encode(text)
        assert ours.framed(text).tolist() == [processor.bos_id(), *ids], text
        assert ours.decode(ids) == processor.decode(ids)
    assert ours.decode(ours.encode("a\nb")) == "a\nb"
    assert ours.roles == {"unknown": 0, "begin": 1, "end": 2}


def test_damaged_tokenizers_are_told(tmp_path: Path) -> None:
    processor, path = processor_in(tmp_path), tmp_path / "tokenizer.bin"
    content, size = tokenizer_bin(processor), processor.vocab_size()
    for harm in (content[:-1], content + b"\0", content[:40]):
        path.write_bytes(harm)
        with pytest.raises(DataError, match=f"must hold {size} tokens and nothing else"):
            read_tokenizer(path, size)


def test_the_tokenizer_beside_a_model_comes_along(tmp_path: Path) -> None:
    processor = processor_in(tmp_path)
    model, folder = oracle(vocab_size=processor.vocab_size()), tmp_path / "stories"
    folder.mkdir()
    (folder / "stories.bin").write_bytes(File(model, 1, True).write())
    (folder / "tokenizer.bin").write_bytes(tokenizer_bin(processor))
    imported = import_model(str(folder), tmp_path / "ours", unsafe_format="llama2c")
    assert imported.tokenizer.vocab_size == imported.config.vocab_size == processor.vocab_size()
    assert imported.tokenizer.framed("the\nfox").tolist() == [1, *processor.encode("the\nfox")]
    assert all(np.isfinite(tensor.numpy()).all() for tensor in imported.model.state_dict().values())
