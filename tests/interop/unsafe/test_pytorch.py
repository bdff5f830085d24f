"""Folders of the time before safetensors."""

import json
from collections.abc import Callable
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
    read, tokens = UNSAFE["pytorch"].read(tmp_path), torch.arange(10)[None]
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
    read = UNSAFE["pytorch"].read(tmp_path)
    assert read.config.heads["language_model"].tied  # type: ignore[attr-defined]
    assert torch.equal(read.build().backbone.encoder_embedding.tokens.weight, weights["shared.weight"])


def extra(folder: Path) -> None:
    torch.save({"x": torch.zeros(2)}, folder / "pytorch_model-00009-of-00003.bin")


def change_index(folder: Path, changed: dict[str, str]) -> None:
    path = folder / "pytorch_model.bin.index.json"
    path.write_text(json.dumps({"weight_map": json.loads(path.read_text())["weight_map"] | changed}))


def twice(folder: Path) -> None:
    path = folder / "pytorch_model-1.bin"
    torch.save(torch.load(path) | {"transformer.wte.weight": torch.zeros(40, 16)}, path)


@pytest.mark.parametrize(
    "harm, told",
    [
        (
            extra,
            r"has, unnamed, pytorch_model-00009-of-00003\.bin: its shards must be those that pytorch_model\.bin\.i",
        ),
        (
            lambda folder: change_index(folder, {"transformer.wte.weight": "pytorch_model-2.bin"}),
            r"in another shard: transformer\.wte\.weight \(in pytorch_model-0\.bin, not pytorch_model-2\.bin\)",
        ),
        (lambda folder: change_index(folder, {"more": "pytorch_model-2.bin"}), r"in no shard: more \(should be in"),
        (twice, r"in two shards: transformer\.wte\.weight \(pytorch_model-0\.bin and pytorch_model-1\.bin\)"),
    ],
)
def test_shards_that_are_not_as_the_index_says(harm: Callable[[Path], None], told: str, tmp_path: Path) -> None:
    theirs(tmp_path, 3)
    harm(tmp_path)
    with pytest.raises(CheckpointError, match=told):
        UNSAFE["pytorch"].read(tmp_path)


def test_parts_without_an_index_beside_the_whole_are_refused(tmp_path: Path) -> None:
    theirs(tmp_path, 1)
    (tmp_path / "pytorch_model.fp16.bin").write_bytes(b"")  # a variant, as everybody knows
    UNSAFE["pytorch"].read(tmp_path)
    extra(tmp_path)
    with pytest.raises(CheckpointError, match=r"also pytorch_model-00009-of-00003\.bin, named as parts of an index"):
        UNSAFE["pytorch"].read(tmp_path)


@pytest.mark.parametrize("said, expected", [("float16", torch.float32), ("bfloat16", torch.bfloat16)])
def test_weights_of_several_types_become_one(said: str, expected: torch.dtype, tmp_path: Path) -> None:
    """float16 ends at 65,504, so what was kept wider need not fit into it."""
    model = theirs(tmp_path, 1).half()
    weights = model.state_dict() | {"transformer.ln_f.weight": model.transformer.ln_f.weight.detach().float()}
    torch.save(weights, tmp_path / "pytorch_model.bin")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"dtype": said}))
    with pytest.warns(
        UserWarning, match=f"several types .*all are turned into {'float32' if said == 'float16' else said}"
    ):
        built = UNSAFE["pytorch"].read(tmp_path).build(tmp_path)
    assert {parameter.dtype for parameter in built.parameters()} == {expected}
    assert built(tokens=torch.arange(3)[None])["language_model"].isfinite().all()


def test_shared_weights_are_one_tensor(tmp_path: Path) -> None:
    """T5's table of tokens stands at two places of ours."""
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_heads": 2, "num_layers": 1, "vocab_size": 40}
    config = transformers.T5Config(**sizes)
    config.save_pretrained(tmp_path)
    torch.save(transformers.T5ForConditionalGeneration(config).state_dict(), tmp_path / "pytorch_model.bin")
    backbone = UNSAFE["pytorch"].read(tmp_path).build().backbone
    assert backbone.encoder_embedding.tokens.weight is backbone.decoder_embedding.tokens.weight


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    read = UNSAFE["pytorch"].read
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
