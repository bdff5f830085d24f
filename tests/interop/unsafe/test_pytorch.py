"""Folders of the time before safetensors."""

import json
from pathlib import Path

import pytest
import torch
import transformers

from zoo.errors import CheckpointError
from zoo.interop.unsafe import UNSAFE


def theirs(folder: Path, shards: int) -> transformers.GPT2LMHeadModel:
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=16, n_positions=12, vocab_size=40)
    model = transformers.GPT2LMHeadModel(config).eval()
    config.save_pretrained(folder)
    weights = model.state_dict()
    names = list(weights)
    if shards == 1:
        torch.save(weights, folder / "pytorch_model.bin")
        return model
    files = [f"pytorch_model-{number}.bin" for number in range(shards)]
    for number, file in enumerate(files):
        torch.save({name: weights[name] for name in names[number::shards]}, folder / file)
    index = {"weight_map": {name: files[place % shards] for place, name in enumerate(names)}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return model


@pytest.mark.parametrize("shards", [1, 3])
def test_it_is_the_same_model(shards: int, tmp_path: Path) -> None:
    model = theirs(tmp_path, shards)
    read, tokens = UNSAFE["pytorch"](tmp_path), torch.arange(10)[None]
    with torch.no_grad():
        found, expected = read.build()(tokens=tokens)["language_model"], model(tokens).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert read.architecture == "gpt2"


def test_an_output_layer_that_is_missing_is_the_token_table(tmp_path: Path) -> None:
    """So it is in what transformers makes anew of T5 v1.1, whatever its config says."""
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_heads": 2, "num_layers": 1, "vocab_size": 40}
    config = transformers.T5Config(**sizes, tie_word_embeddings=False, feed_forward_proj="gated-gelu")
    weights = transformers.T5ForConditionalGeneration(config).state_dict()
    config.save_pretrained(tmp_path)
    del weights["lm_head.weight"]
    torch.save(weights, tmp_path / "pytorch_model.bin")
    read = UNSAFE["pytorch"](tmp_path)
    assert read.config.heads["language_model"].tied  # type: ignore[attr-defined]
    assert torch.equal(read.build().backbone.encoder_embedding.tokens.weight, weights["shared.weight"])


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    read = UNSAFE["pytorch"]
    with pytest.raises(CheckpointError, match="must be a folder with config"):
        read(tmp_path)
    theirs(tmp_path, 3)
    (tmp_path / "pytorch_model-1.bin").unlink()
    with pytest.raises(CheckpointError, match=r"lacks pytorch_model-1\.bin"):
        read(tmp_path)
    (tmp_path / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "../b"}}')
    with pytest.raises(CheckpointError, match="weight_map must give"):
        read(tmp_path)
    (tmp_path / "pytorch_model.bin.index.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no pytorch_model\.bin"):
        read(tmp_path)
