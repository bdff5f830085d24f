"""Foreign folders: what is written by the tables is read back, and what is no such folder is refused."""

import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.checkpoint.tensors import load_tensors, save_tensors
from zoo.errors import CheckpointError, ConfigError, ZooError
from zoo.interop import from_zoo, write_config
from zoo.interop.folder import (
    is_foreign,
    load_foreign,
    read_foreign_config,
    read_foreign_weights,
    unread_files,
    weight_files,
)
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
    files = [f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
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


def test_weights_are_mapped_and_what_is_written_stays_in_memory(model: Model, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "foreign", model)
    opened = load_foreign(folder)
    assert not opened.training
    with torch.no_grad():
        for parameter in opened.parameters():
            parameter.fill_(7.0)
    again, own = load_foreign(folder).state_dict(), model.state_dict()
    assert all(torch.equal(tensor, own[name]) for name, tensor in again.items())


def test_types_stay_or_are_changed(model: Model, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "foreign", model.bfloat16())
    assert {tensor.dtype for tensor in load_foreign(folder).parameters()} == {torch.bfloat16}
    assert {tensor.dtype for tensor in load_foreign(folder, dtype=torch.float32).parameters()} == {torch.float32}


@pytest.mark.parametrize("said", ["float99", 7, ["float32"]])
def test_a_type_that_is_none_is_refused(said: Any, model: Model, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "foreign", model)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": said}))
    with pytest.raises(CheckpointError, match="which is no type of weights; write one of"):
        load_foreign(folder)
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "torch.float32"}))
    load_foreign(folder)


@pytest.mark.parametrize("field", ["dtype", "torch_dtype"])
def test_another_type_than_the_config_says_is_told(field: str, model: Model, tmp_path: Path) -> None:
    """transformers' from_pretrained turns the weights into what config.json says."""
    folder = write_foreign(tmp_path / "foreign", model)
    config = json.loads((folder / "config.json").read_text())
    config.pop("dtype", None)
    (folder / "config.json").write_text(json.dumps({**config, field: "bfloat16"}))
    with pytest.warns(UserWarning, match="stay float32, as they are stored; transformers turns them into the bfloat16"):
        assert {tensor.dtype for tensor in load_foreign(folder).parameters()} == {torch.float32}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_foreign(folder, dtype=torch.bfloat16)
        (folder / "config.json").write_text(json.dumps({**config, field: "float32"}))
        load_foreign(folder)


def test_all_that_does_not_fit_is_said_at_once(model: Model, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "foreign", model)
    tensors = load_tensors(folder / "model.safetensors")
    del tensors["transformer.h.0.ln_1.weight"], tensors["transformer.ln_f.bias"]
    tensors |= {"strange": torch.zeros(2), "transformer.wpe.weight": torch.zeros(3, 16)}
    tensors["transformer.h.1.ln_1.bias"] = torch.zeros(16, dtype=torch.int32)
    rewrite(folder, tensors)
    with pytest.raises(CheckpointError) as caught:
        load_foreign(folder)
    for part in (
        "missing: transformer",
        "h.0.ln_1.weight",
        "ln_f.bias",
        "left over: strange",
        "is (3, 16), not (32, 16)",
        "of another type: transformer.h.1.ln_1.bias (I32)",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("kind", [torch.int8, torch.float8_e4m3fn])
def test_quantized_weights_are_refused(kind: torch.dtype, model: Model, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "foreign", model)
    tensors = load_tensors(folder / "model.safetensors")
    tensors["transformer.ln_f.bias"] = tensors["transformer.ln_f.bias"].to(kind)
    rewrite(folder, tensors)
    with pytest.raises(CheckpointError, match=r"of another type: transformer\.ln_f\.bias"):
        load_foreign(folder)


def test_what_is_stored_twice_must_be_equal(model: Model, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "foreign", model)
    tensors = load_tensors(folder / "model.safetensors")
    rewrite(folder, tensors | {"lm_head.weight": tensors["transformer.wte.weight"].clone()})
    assert load_foreign(folder).num_parameters == model.num_parameters
    rewrite(folder, tensors | {"lm_head.weight": tensors["transformer.wte.weight"] + 1})
    with pytest.raises(CheckpointError, match=r"shared, yet not equal: transformer\.wte\.weight and lm_head\.weight"):
        load_foreign(folder)


def rewrite(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    (folder / "model.safetensors").unlink()
    save_tensors({name: tensor.clone() for name, tensor in tensors.items()}, folder / "model.safetensors")


def change_index(folder: Path, change: Callable[[dict[str, str]], None]) -> None:
    path = folder / "model.safetensors.index.json"
    names = json.loads(path.read_text())["weight_map"]
    change(names)
    path.write_text(json.dumps({"weight_map": names}))


SHARD = "model-0000{}-of-00003.safetensors"
FIRST = "transformer.h.0.ln_1.weight"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize(
    "harm, told",
    [
        (
            lambda f: (f / SHARD.format(2)).unlink(),
            r"lacks model-00002-of-00003\.safetensors: its shards must be those",
        ),
        (
            lambda f: shutil.copy(f / SHARD.format(2), f / "model-00004-of-00003.safetensors"),
            "has, unnamed, model-00004",
        ),
        (lambda f: shutil.copy(f / SHARD.format(2), f / "extra.safetensors"), r"has, unnamed, extra\.safetensors: its"),
        (lambda f: cut(f / SHARD.format(2)), r"model-00002-of-00003\.safetensors is damaged or no safetensors file"),
        (lambda f: change_index(f, lambda m: m.pop(FIRST)), r"not in the index: transformer\.h\.0\.ln_1\.weight \(in "),
        (
            lambda f: change_index(f, lambda m: m.update(a=SHARD.format(1))),
            r"in no shard: a \(should be in model-00001",
        ),
        (
            lambda f: change_index(f, lambda m: m.update({FIRST: next(s for s in m.values() if s != m[FIRST])})),
            r"in another shard: transformer\.h\.0\.ln_1\.weight \(in model-0000",
        ),
        (lambda f: change_index(f, lambda m: m.update(a="../b.safetensors")), "must give each tensor a file beside it"),
        (lambda f: (f / "model.safetensors.index.json").write_text("[]"), "weight_map must give"),
        (lambda f: link(f, SHARD.format(1)), r"is a link that leads out of its folder"),
    ],
)
def test_shards_that_are_not_as_the_index_says(harm: Any, told: str, model: Model, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "foreign", model, shards=3)
    assert load_foreign(folder).num_parameters == model.num_parameters
    harm(folder)
    with pytest.raises(CheckpointError, match=told):
        load_foreign(folder)


@pytest.mark.parametrize("shards", [1, 3])
def test_what_lies_beside_the_weights_on_purpose_is_told_and_left_alone(
    shards: int, model: Model, tmp_path: Path
) -> None:
    folder = write_foreign(tmp_path / "foreign", model, shards=shards)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_foreign(folder)
    names = [f"{name}.safetensors" for name in ("adapter_model", "consolidated", "model.fp16-00001-of-00002")]
    for name in names:
        (folder / name).write_bytes(b"")
    assert len(weight_files(folder)) == shards
    assert unread_files(folder) == names
    for read in (load_foreign, read_foreign_weights):
        with pytest.warns(UserWarning, match=f"not read: {re.escape(', '.join(names))}; the model is what model"):
            read(folder)


def test_others_beside_a_single_file_are_told(model: Model, tmp_path: Path) -> None:
    """transformers reads model.safetensors alone; nothing says that the others are of this model."""
    folder = write_foreign(tmp_path / "foreign", model)
    (folder / "speaker.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"not read: speaker\.safetensors; the model is what model\.safetensors holds"):
        assert load_foreign(folder).num_parameters == model.num_parameters


def test_shards_without_an_index_beside_a_single_file_are_refused(model: Model, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "foreign", model)
    shutil.copy(folder / "model.safetensors", folder / SHARD.format(2))
    with pytest.raises(CheckpointError, match=r"also model-00002-of-00003\.safetensors, named as parts of an index"):
        load_foreign(folder)


def test_an_index_rules_where_there_is_a_single_file_too(model: Model, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "foreign", model, shards=3)
    save_tensors(load_tensors(folder / SHARD.format(1)), folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"has, unnamed, model\.safetensors: its shards must be"):
        load_foreign(folder)
    single = write_foreign(tmp_path / "single", model)  # some libraries write an index of one file
    held = dict.fromkeys(load_tensors(single / "model.safetensors"), "model.safetensors")
    (single / "model.safetensors.index.json").write_text(json.dumps({"weight_map": held}))
    assert load_foreign(single).num_parameters == model.num_parameters


def link(folder: Path, name: str) -> None:
    (folder / name).rename(folder.parent / "elsewhere")
    (folder / name).symlink_to(folder.parent / "elsewhere")


def test_links_of_the_hubs_cache_are_followed(model: Model, tmp_path: Path) -> None:
    entry = tmp_path / "models--a--b"
    (entry / "snapshots").mkdir(parents=True)
    (entry / "blobs").mkdir()
    folder = write_foreign(entry / "snapshots" / "0123", model, shards=3)
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(entry / "blobs" / f"{number}")
        path.symlink_to(Path("..", "..", "blobs", f"{number}"))
    assert load_foreign(folder).num_parameters == model.num_parameters


def test_pickles_and_what_opens_them_are_named(model: Model, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "foreign", model)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(
        CheckpointError, match=r"pickles \(pytorch_model\.bin\).* zoo import .* --unsafe-format pytorch"
    ):
        load_foreign(folder)


@pytest.mark.parametrize(
    "content, error, told",
    [
        ('{"model_type": "gptt2"}', ConfigError, "unknown architecture 'gptt2'; did you mean 'gpt2'"),
        ("{}", ConfigError, "has no model_type"),
        ('{"model_type": "gpt2", "n_embd": 16, "hat": 1}', ConfigError, r"config.json: hat: "),
        (
            '{"model_type": "gpt2", "architectures": ["My"], "auto_map": {"AutoModel": "code.My"}}',
            ConfigError,
            "auto_map: .* never runs here",
        ),
        (
            '{"model_type": "gpt2", "auto_map": {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.MyOwnGPT"}}',
            ConfigError,
            "auto_map: .* never runs here",
        ),
        ('{"model_type": "gptt2", "auto_map": {"AutoModel": "code.My"}}', ConfigError, "auto_map: .* never runs here"),
        ("[", CheckpointError, "damaged"),
        ("[]", ConfigError, "has no model_type"),
    ],
)
def test_configs_that_are_refused(content: str, error: type[ZooError], told: str, model: Model, tmp_path: Path) -> None:
    folder = write_foreign(tmp_path / "foreign", model)
    (folder / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(error, match=told):
        load_foreign(folder)


@pytest.mark.parametrize(
    "classes",
    [
        {"AutoTokenizer": ["code.My", None]},
        {"AutoModel": "code.My", "AutoModelForCausalLM": "a/b--code.GPT2LMHeadModel"},
    ],
)
def test_code_beside_a_known_class_does_not_stand_in_the_way(
    classes: dict[str, Any], model: Model, tmp_path: Path
) -> None:
    folder = write_foreign(tmp_path / "foreign", model)
    said = json.loads((folder / "config.json").read_text())
    said.pop("architectures", None)
    (folder / "config.json").write_text(json.dumps({**said, "auto_map": classes}))
    with pytest.warns(UserWarning, match=r"\(auto_map\) never runs here"):
        assert load_foreign(folder).num_parameters == model.num_parameters
