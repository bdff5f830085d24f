"""Foreign folders: what is written by the tables is read back, and what is no such folder is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.checkpoint.tensors import save_tensors
from zoo.errors import CheckpointError, ConfigError
from zoo.interop import from_zoo, write_config
from zoo.interop.folder import is_foreign, read_foreign_config, read_foreign_weights, weight_files
from zoo.models import Model

SIZE: dict[str, Any] = {"dim": 16, "num_layers": 2, "num_heads": 2, "feed_forward_dim": 32, "max_length": 32}


def write_foreign(folder: Path, model: Model, architecture: str = "gpt2", shards: int = 1) -> Path:
    """A model as Hugging Face's libraries would have saved it."""
    folder.mkdir()
    config = write_config(architecture, model.config)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = from_zoo(architecture, model.state_dict(), model.config)
    names = list(weights)
    if shards == 1:
        save_tensors({name: weights[name].clone() for name in names}, folder / "model.safetensors")
        return folder
    files = [f"model-{number}.safetensors" for number in range(shards)]
    for number, file in enumerate(files):
        save_tensors({name: weights[name].clone() for name in names[number::shards]}, folder / file)
    index = {"weight_map": {name: files[place % shards] for place, name in enumerate(names)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


@pytest.fixture
def model() -> Model:
    return zoo.create_model("gpt2", vocab_size=40, **SIZE)


@pytest.mark.parametrize("shards", [1, 3])
def test_weights_come_back(shards: int, model: Model, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "foreign", model, shards=shards)
    assert is_foreign(folder)
    assert not is_foreign(tmp_path)
    assert len(weight_files(folder)) == shards
    assert read_foreign_config(folder).dim == 16
    read, own = read_foreign_weights(folder), model.state_dict()
    assert read.keys() == own.keys()
    assert all(torch.equal(tensor, own[name]) for name, tensor in read.items())


def test_what_is_refused(model: Model, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "foreign", model, shards=3)
    (folder / "model-1.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"lacks model-1.safetensors, which model.safetensors.index.json names"):
        read_foreign_weights(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../b"}}', encoding="utf-8")
    with pytest.raises(CheckpointError, match="weight_map must give each tensor a file beside it"):
        read_foreign_weights(folder)
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(CheckpointError, match=r"no model.safetensors .*pytorch_model.bin; those are pickles"):
        read_foreign_weights(folder)
    (folder / "config.json").write_text('{"model_type": "gptt2"}', encoding="utf-8")
    with pytest.raises(ConfigError, match="unknown architecture 'gptt2'; did you mean 'gpt2'"):
        read_foreign_config(folder)
    (folder / "config.json").write_text('{"model_type": "gpt2", "n_embd": 16, "hat": 1}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config.json: hat: "):
        read_foreign_config(folder)
    (folder / "config.json").write_text("[", encoding="utf-8")
    with pytest.raises(CheckpointError, match="damaged"):
        read_foreign_config(folder)
