"""Meta's folders compute what transformers' Llama computes, from one rank or several."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.interop.unsafe.llama import logits, metas, oracle
from tests.tokenizer.families import FAMILIES
from tests.tokenizer.test_tiktoken import TOKENS
from tests.tokenizer.test_tiktoken import write as write_ranks
from zoo.errors import CheckpointError, ConfigError
from zoo.importing import import_model
from zoo.interop.unsafe import UNSAFE
from zoo.interop.unsafe.meta import rotation

PARAMS = {"dim": 16, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "norm_eps": 1e-5, "vocab_size": -1}


def cut(weights: dict[str, Tensor], ranks: int, table: int) -> list[dict[str, Tensor]]:
    """The weights of each rank; `table`: the side by which the token table is cut."""
    parts: list[dict[str, Tensor]] = [{} for _ in range(ranks)]
    for name, tensor in weights.items():
        side = table if name.startswith("tok") else 1 if name.endswith(("wo.weight", "w2.weight")) else 0
        pieces = [tensor] * ranks if tensor.ndim == 1 else tensor.chunk(ranks, dim=side)
        for part, piece in zip(parts, pieces, strict=True):
            part[name] = piece.clone()
    return parts


def write(folder: Path, parts: list[dict[str, Tensor]], **params: object) -> None:
    (folder / "params.json").write_text(json.dumps(PARAMS | params))
    for rank, part in enumerate(parts):
        torch.save(part | {"rope.freqs": torch.ones(2)}, folder / f"consolidated.{rank:02}.pth")


@pytest.mark.parametrize("ranks, table", [(1, 1), (2, 1), (2, 0)])
def test_logits_are_transformers(ranks: int, table: int, tmp_path: Path) -> None:
    model = oracle(tied=False)
    write(tmp_path, cut(metas(model), ranks, table))
    read = UNSAFE["meta"].read(tmp_path)
    with torch.no_grad():
        found = read.build()(tokens=torch.arange(12)[None])["language_model"]
    torch.testing.assert_close(found, logits(model), rtol=1e-4, atol=1e-4)
    assert read.architecture == "llama"


PUBLISHED = {  # what params.json of Llama 3.1, 3.2 and 3.3 says, but for the vocabulary and the inner width
    "llama-3.1-8b": ({"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8}, 8.0),
    "llama-3.1-405b": ({"dim": 16384, "n_layers": 126, "n_heads": 128, "n_kv_heads": 8}, 8.0),
    "llama-3.3-70b": ({"dim": 8192, "n_layers": 80, "n_heads": 64, "n_kv_heads": 8}, 8.0),
    "llama-3.2-1b": ({"dim": 2048, "n_layers": 16, "n_heads": 32, "n_kv_heads": 8}, 32.0),
    "llama-3.2-3b": ({"dim": 3072, "n_layers": 28, "n_heads": 24, "n_kv_heads": 8}, 32.0),
}


@pytest.mark.parametrize("sizes, factor", PUBLISHED.values(), ids=PUBLISHED)
def test_published_models_have_the_factor_of_their_hugging_face_twins(sizes: dict[str, int], factor: float) -> None:
    said = rotation({**sizes, "rope_theta": 500_000.0, "use_scaled_rope": True}, Path("params.json"))
    assert said["rope_scaling"] == {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    assert said["max_position_embeddings"] == 131_072


def test_the_factor_of_others_must_be_said(tmp_path: Path) -> None:
    scaled = {"use_scaled_rope": True, "rope_theta": 500_000.0}
    write(tmp_path, [metas(oracle(tied=False))], **scaled)
    with pytest.raises(ConfigError, match=r"no published model has dim=16 .*add \"rope_scaling_factor\": 8\.0"):
        UNSAFE["meta"].read(tmp_path)
    write(tmp_path, [metas(oracle(tied=False))], **scaled, rope_scaling_factor=16, rope_high_freq_factor=2)
    scaling = UNSAFE["meta"].read(tmp_path).config.positions.scaling  # type: ignore[attr-defined]
    assert (scaling.kind, scaling.factor, scaling.high_frequency_factor) == ("llama3", 16.0, 2.0)
    write(tmp_path, [metas(oracle(tied=False))], rope_scaling_factor=16)
    with pytest.raises(ConfigError, match="rope_scaling_factor: nothing reads it where use_scaled_rope is not true"):
        UNSAFE["meta"].read(tmp_path)


@pytest.mark.parametrize("theta, length", [(10_000.0, 4096), (500_000.0, 8192), (1_000_000.0, 16_384)])
def test_lengths_are_those_of_llama_2_llama_3_and_code_llama(theta: float, length: int, tmp_path: Path) -> None:
    write(tmp_path, [metas(oracle(tied=False))], rope_theta=theta)
    assert UNSAFE["meta"].read(tmp_path).config.max_length == length


def test_an_output_layer_that_repeats_the_token_table_is_tied(tmp_path: Path) -> None:
    """So is Llama 3.2, whose files hold both."""
    model = oracle(tied=True)
    write(tmp_path, cut(metas(model), 2, 0))
    read = UNSAFE["meta"].read(tmp_path)
    assert read.config.heads["language_model"].tied  # type: ignore[attr-defined]
    with torch.no_grad():
        found = read.build()(tokens=torch.arange(12)[None])["language_model"]
    torch.testing.assert_close(found, logits(model), rtol=1e-4, atol=1e-4)


def test_llama_3s_tokenizer_comes_along(tmp_path: Path) -> None:
    """Its ids are the rows of the table, a text begins with <|begin_of_text|>, and a turn's end ends a text."""
    place = tmp_path / "theirs"
    place.mkdir()
    write(place, [metas(oracle(tied=False, vocab_size=len(TOKENS) + 256))])
    write_ranks(place, TOKENS)
    imported = import_model(str(place), tmp_path / "ours", unsafe_format="meta")
    assert imported.tokenizer.framed("the thing").tolist()[0] == len(TOKENS)
    assert imported.conventions.stop == (len(TOKENS) + 9,)
    assert isinstance(imported.generate("the thing", max_new_tokens=2), str)


def test_llama_2s_texts_begin_with_its_token(tmp_path: Path) -> None:
    FAMILIES["llama"](tmp_path)
    for said in tmp_path.glob("*.json"):
        said.unlink()
    write(tmp_path, [metas(oracle(tied=False))])
    tokenizer = UNSAFE["meta"].read(tmp_path).tokenizer
    assert tokenizer is not None
    assert tokenizer.framed("the").tolist()[0] == tokenizer.role("begin")


def test_a_key_that_is_not_known_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [metas(oracle(tied=False))], sliding_window=4, some_switch=True, max_batch_size=1)
    with pytest.raises(ConfigError, match=r"params\.json: sliding_window=4, some_switch=True: not known here"):
        UNSAFE["meta"].read(tmp_path)


def test_what_is_no_such_folder_is_told(tmp_path: Path) -> None:
    read = UNSAFE["meta"].read
    with pytest.raises(CheckpointError, match=r"must hold params\.json and consolidated"):
        read(tmp_path)
    parts = cut(metas(oracle(tied=False)), 2, 1)
    del parts[1]["norm.weight"]
    write(tmp_path, parts)
    with pytest.raises(CheckpointError, match="do not hold the same names"):
        read(tmp_path)
    del parts[0]["norm.weight"]
    write(tmp_path, parts)
    with pytest.raises(CheckpointError, match=r"missing: norm\.weight"):
        read(tmp_path)
    (tmp_path / "params.json").write_text('{"dim": 16}')
    with pytest.raises(CheckpointError, match="n_layers=None, n_heads=None"):
        read(tmp_path)
