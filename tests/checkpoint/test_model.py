"""A model folder opens by itself, whole and exact, or says all that is wrong with it."""

import json
import os
import random
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from zoo.checkpoint.folder import verify_folder, write_folder
from zoo.checkpoint.model import (
    FORMAT,
    load_model,
    load_weights,
    read_card,
    read_config,
    save_model,
    weights_of,
)
from zoo.checkpoint.tensors import load_tensors, save_tensors
from zoo.errors import CheckpointError, ConfigError, ZooError
from zoo.models import Model
from zoo.models.presets import PRESETS
from zoo.tokenizer.tokenizer import Tokenizer
from zoo.tokenizer.train import BytesConfig

NANO = {"vocab_size": 300, "dim": 16, "num_layers": 2, "num_heads": 2, "max_length": 16}


def tiny(name: str = "gpt-nano", **changes: Any) -> Model:
    return zoo.create_model(name, **{**NANO, "feed_forward_dim": 32, **changes})


def equal(one: Model, other: Model) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]) for name in left
    )


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return BytesConfig(special_tokens="gpt").train()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(tiny(), None, tmp_path / "model")
    return tmp_path / "model"


def tampered(folder: Path, change: Callable[[Path], object]) -> Path:
    """A folder with a change in it whose manifest says that all is well: what a hostile writer can do."""

    def write(other: Path) -> None:
        for file in folder.iterdir():
            if file.name != "manifest.json":
                (other / file.name).write_bytes(file.read_bytes())
        change(other)

    write_folder(folder.parent / f"{folder.name}-tampered", write, format=FORMAT, replace=True)
    return folder.parent / f"{folder.name}-tampered"


def with_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    def rewrite(other: Path) -> None:
        weights = load_tensors(other / "model.safetensors")
        change(weights)
        (other / "model.safetensors").unlink()
        save_tensors(weights, other / "model.safetensors")

    return tampered(folder, rewrite)


# ---------------------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_comes_back(name: str, tmp_path: Path) -> None:
    grouped = {"num_kv_heads": 1} if zoo.model_config(name).num_kv_heads else {}
    model = tiny(name, **grouped)
    save_model(model, None, tmp_path / "model")
    back, tokenizer = load_model(tmp_path / "model")
    assert tokenizer is None
    assert equal(back, model)
    assert back.config == model.config
    assert back.num_parameters == model.num_parameters
    assert not back.training
    assert all(parameter.requires_grad for parameter in back.parameters())


def test_the_loaded_model_computes_the_same(saved: Path) -> None:
    tokens = torch.arange(10)[None]
    expected = tiny().eval()(tokens=tokens)["language_model"]
    assert torch.equal(load_model(saved)[0](tokens=tokens)["language_model"], expected)


def test_the_tokenizer_and_the_card_go_along(tokenizer: Tokenizer, tmp_path: Path) -> None:
    card = {"step": 3, "loss": float("nan"), "data": {"names": ("a", "ä")}, "best": 1e-5, "done": True, "note": None}
    save_model(tiny(), tokenizer, tmp_path / "model", card=card)
    _, back = load_model(tmp_path / "model")
    assert back is not None
    assert back.fingerprint == tokenizer.fingerprint
    assert read_card(tmp_path / "model") == {**card, "loss": "nan", "data": {"names": ["a", "ä"]}}
    assert set(verify_folder(tmp_path / "model", format=FORMAT).files) == {
        "model.safetensors",
        "config.yaml",
        "tokenizer.json",
        "special_tokens.json",
        "card.json",
    }


def test_a_folder_without_a_card(saved: Path) -> None:
    assert read_card(saved) == {}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_types_of_weights_are_kept(dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny().to(dtype)
    save_model(model, None, tmp_path / "model")
    assert equal(load_model(tmp_path / "model")[0], model)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_several_types_become_one(dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny().to(dtype)
    model.backbone.stack.norm.float()  # which does not compute on every device
    save_model(model, None, tmp_path / "model")
    widest = torch.float64 if dtype is torch.float64 else torch.float32
    with pytest.warns(UserWarning, match=r"2 float32; float32 is for example backbone\.stack\.norm"):
        loaded = load_model(tmp_path / "model")[0]
    assert equal(loaded, model.to(widest))  # nothing was rounded
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert equal(load_model(tmp_path / "model", dtype=torch.bfloat16)[0], model.to(torch.bfloat16))


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path: Path) -> None:
    model = tiny("t5-nano")
    save_model(model, None, tmp_path / "model")
    stored = load_tensors(tmp_path / "model" / "model.safetensors")
    assert len(stored) == len(list(model.parameters()))
    assert set(model.state_dict()) - set(stored) == {"backbone.decoder_embedding.tokens.weight"}
    assert not any(name.startswith("heads") for name in stored)  # the output layer is the token table
    back, _ = load_model(tmp_path / "model")
    table = back.backbone.encoder_embedding.tokens.weight
    assert back.backbone.decoder_embedding.tokens.weight is table
    assert back.heads["language_model"].weight is table


def test_a_free_head_is_stored_by_itself(tmp_path: Path) -> None:
    model = tiny(heads={"language_model": {"kind": "language_model", "tied": False}})
    save_model(model, None, tmp_path / "model")
    assert "heads.language_model.output.weight" in load_tensors(tmp_path / "model" / "model.safetensors")
    assert equal(load_model(tmp_path / "model")[0], model)


def test_saving_does_not_touch_the_model(tmp_path: Path) -> None:
    model = tiny()
    pointers = [parameter.data_ptr() for parameter in model.parameters()]
    model.requires_grad_(False)
    save_model(model, None, tmp_path / "model")
    assert model.training
    assert pointers == [parameter.data_ptr() for parameter in model.parameters()]
    assert equal(model, tiny())


def test_saving_over_a_model_that_is_loaded(saved: Path) -> None:
    loaded, _ = load_model(saved)
    with pytest.raises(CheckpointError, match="exists already"):
        save_model(tiny(seed=1), None, saved)
    save_model(tiny(seed=1), None, saved, replace=True)
    assert equal(loaded, tiny())
    assert equal(load_model(saved)[0], tiny(seed=1))


def test_the_config_file_is_the_resolved_config(saved: Path) -> None:
    assert read_config(saved) == tiny().config


# ----------------------------------------------------------------------------------------------------- filling in place


def test_load_weights_fills_in_place(saved: Path) -> None:
    model = tiny(seed=5)
    parameters = list(model.parameters())
    load_weights(model, saved)
    assert equal(model, tiny())
    assert all(one is other for one, other in zip(parameters, model.parameters(), strict=True))
    assert model.training


def test_load_weights_wants_the_very_type(saved: Path) -> None:
    model = tiny().double()
    with pytest.raises(CheckpointError, match=r"of another type: .*tokens.weight \(file F32, model torch.float64\)"):
        load_weights(model, saved)


@pytest.mark.parametrize("device", ["nonsense", "meta", "cuda:99"])
def test_a_device_that_is_not_there(device: str, saved: Path) -> None:
    with pytest.raises(ConfigError, match=f"device: '{device}' cannot be used on this machine"):
        load_model(saved, device)


@pytest.mark.gpu
def test_weights_go_to_a_device_and_back(saved: Path, tmp_path: Path) -> None:
    model, _ = load_model(saved, "cuda")
    assert all(parameter.is_cuda for parameter in model.parameters())
    save_model(model, None, tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (saved / "model.safetensors").read_bytes()
    other = tiny(seed=3).cuda()
    load_weights(other, saved)
    assert equal(other, model)


def test_persistent_buffers_are_weights_and_others_are_not() -> None:
    module = torch.nn.BatchNorm1d(3)
    module.register_buffer("cache", torch.ones(1), persistent=False)
    names = [shared.names[0] for shared in weights_of(module)]
    assert names == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]


# ---------------------------------------------------------------------------------------------- weights that do not fit


def test_all_differences_in_one_message_and_nothing_loaded(saved: Path) -> None:
    norm, query = "backbone.stack.norm.weight", "backbone.stack.blocks.0.self_attention.sublayer.project.query.weight"
    table = "backbone.embedding.tokens.weight"

    def change(weights: dict[str, torch.Tensor]) -> None:
        del weights[norm]
        weights["surplus"] = torch.ones(1)
        weights[query] = torch.ones(16, 15)
        weights[table] = weights[table].to(torch.int64)

    folder = with_weights(saved, change)
    model = tiny(seed=7)
    for load in (lambda: load_weights(model, folder), lambda: load_model(folder)):
        with pytest.raises(CheckpointError) as caught:
            load()
        message = str(caught.value)
        assert "nothing was loaded" in message
        assert f"1 missing: {norm}" in message
        assert "1 unexpected: surplus" in message
        assert f"1 of another shape: {query} (file [16, 15], model [16, 16])" in message
        assert f"1 of another type: {table} (file I64, model" in message
    assert equal(model, tiny(seed=7))


def test_a_long_list_of_differences_is_cut(saved: Path) -> None:
    folder = with_weights(saved, lambda weights: weights.update({f"extra.{i}": torch.ones(1) for i in range(50)}))
    with pytest.raises(CheckpointError, match=r"50 unexpected: extra\.0, .* and 30 more"):
        load_model(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused_by_name(value: float, saved: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights["backbone.stack.norm.weight"][3] = value

    folder = with_weights(saved, change)
    model = tiny(seed=7)
    for load in (lambda: load_weights(model, folder), lambda: load_model(folder)):
        with pytest.raises(CheckpointError, match=r"NaN or infinite numbers in backbone\.stack\.norm\.weight"):
            load()
    assert equal(model, tiny(seed=7))
    loaded, _ = load_model(folder, allow_nonfinite=True)
    assert not loaded.state_dict()["backbone.stack.norm.weight"].isfinite().all()


def test_large_finite_weights_whose_sum_overflows_are_fine(saved: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights["backbone.stack.norm.weight"].fill_(3e38)

    load_model(with_weights(saved, change))


def test_a_tied_weight_stored_twice_is_unexpected(saved: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights["heads.language_model.output.weight"] = weights["backbone.embedding.tokens.weight"].clone()

    with pytest.raises(CheckpointError, match=r"1 unexpected: heads\.language_model\.output\.weight"):
        load_model(with_weights(saved, change))


# ----------------------------------------------------------------------------------------------- configs and tokenizers


def reconfigured(folder: Path, old: str, new: str) -> Path:
    def change(other: Path) -> None:
        text = (other / "config.yaml").read_text()
        assert old in text
        (other / "config.yaml").write_text(text.replace(old, new, 1))

    return tampered(folder, change)


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("kind: decoder", "kind: decodr", "unknown model 'decodr'; did you mean 'decoder'"),
        ("kind: decoder", "kind: os.system", "unknown model 'os.system'"),
        ("kind: decoder", "kind: decoder\n_target_: os.system", "unknown .*'_target_'"),
        (
            "num_heads: 2",
            "num_headz: 2",
            "unknown .*'num_headz'; did you mean 'num_heads'",
        ),
        ("num_heads: 2", "num_heads: two", "num_heads: 'two' is not a whole number"),
        ("num_heads: 2", "num_heads: 3", "num_heads|divide"),
        ("dim: 16", "dim: -16", "dim: -16 must be at least 1"),
        ("dim: 16", "dim: .nan", "dim: nan is not a whole number"),
        ("dim: 16", "dim: ${oc.env:HOME}", "dim: .*oc.env:HOME"),
        ("dim: 16", "dim: !!python/object/apply:os.system [true]", "not valid YAML"),
        ("dim: 16", "dim: 16\ndim: 16", "not valid YAML"),
        ("vocab_size: 300", "vocab_size: null", "vocab_size: is not known"),
        ("num_layers: 2", "num_layers: 1000000000", "num_layers: 1000000000 must be at most 10000"),
        ("num_heads: 2", "num_heads: 1000000000", "num_heads is 1000000000, far more|divide"),
        ("num_layers: 2", "num_layers: 3", "16 missing: backbone.stack.blocks.2"),
        ("dim: 16", "dim: 1000000000", "of another shape"),
        ("dim: 16", "dim: 100000000000000000", "describes no model that can be built"),
        ("dim: 16", "a: &a [1, 1, 1]\nb: &b [*a, *a, *a]\ndim: 16", "unknown .*'a'"),
    ],
)
def test_a_config_that_does_not_hold(old: str, new: str, reason: str, saved: Path) -> None:
    folder = reconfigured(saved, old, new)
    start = time.process_time()
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_model(folder)
    assert time.process_time() - start < 30
    assert "model" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1, 2]", "just text", "\x00", "a: " + "[" * 16_000, "- " * 8_000, "x" * 70_000])
def test_a_config_of_garbage(text: str, saved: Path) -> None:
    folder = tampered(saved, lambda other: (other / "config.yaml").write_text(text))
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        load_model(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml"])
def test_a_folder_without_its_main_files(name: str, saved: Path) -> None:
    with pytest.raises(CheckpointError, match=f"is no model folder: it has no {name}"):
        load_model(tampered(saved, lambda other: (other / name).unlink()))
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        load_model(saved)


def test_a_flipped_bit_is_found_before_use(saved: Path) -> None:
    content = bytearray((saved / "model.safetensors").read_bytes())
    content[-100] ^= 1
    (saved / "model.safetensors").write_bytes(content)
    model = tiny(seed=7)
    for load in (lambda: load_weights(model, saved), lambda: load_model(saved)):
        with pytest.raises(CheckpointError, match=r"model\.safetensors has another content"):
            load()
    assert equal(model, tiny(seed=7))


def test_a_tokenizer_with_more_ids_than_the_model(tokenizer: Tokenizer, saved: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer has \d+ ids, the model's table 100 rows"):
        save_model(tiny(vocab_size=100), tokenizer, tmp_path / "small")
    assert not (tmp_path / "small").exists()
    save_model(tiny(vocab_size=100), None, tmp_path / "small")
    with pytest.raises(CheckpointError, match=r"tokenizer has \d+ ids, the model's table 100 rows"):
        load_model(tampered(tmp_path / "small", tokenizer.save))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": "1.0"}', "{" * 10_000])
def test_a_tokenizer_of_garbage(text: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_model(tiny(), tokenizer, tmp_path / "model")
    with pytest.raises(ZooError, match=r"tokenizer\.json"):
        load_model(tampered(tmp_path / "model", lambda other: (other / "tokenizer.json").write_text(text)))


@pytest.mark.parametrize("value", [{"a": object()}, {"a": {1: 2}}, {"a": [torch.ones(1)]}, {"a": {1, 2}}])
def test_a_card_of_other_than_plain_data(value: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"card\.a"):
        save_model(tiny(), None, tmp_path / "model", card=value)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors"])
def test_random_mutations_give_a_model_or_a_zoo_error(name: str, saved: Path) -> None:
    generator = random.Random(name)
    original = (saved / name).read_bytes()
    errors = 0
    for _ in range(40):
        damaged = bytearray(original)
        position = generator.randrange(min(len(damaged), 3000))
        damaged[position] = generator.choice(b'{}[]",:0129.eE-+\x00\xffx*&!|>%@`\n')
        try:
            load_model(tampered(saved, lambda other, damaged=damaged: (other / name).write_bytes(damaged)))
        except ZooError:
            errors += 1
    assert errors > 10


# ---------------------------------------------------------------------------------------------------- what loading does


def test_loading_opens_nothing_outside_runs_nothing_and_holds_the_weights_once(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    save_model(tiny(), tokenizer, tmp_path / "small", card={"a": 1})
    save_model(zoo.create_model("gpt-nano", vocab_size=200_000, dim=128), None, tmp_path / "large")
    size = (tmp_path / "large" / "model.safetensors").stat().st_size
    assert size > 100_000_000
    program = """
        import json, os, re, resource, sys
        from pathlib import Path
        from zoo.checkpoint.model import load_model

        parent = Path(sys.argv[1])
        load_model(parent / "small")  # what is imported at first use is imported now
        events = []

        def peak():
            if sys.platform == "darwin":
                return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            # Linux: ru_maxrss is at least what the tests' own process had when it started this one
            return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

        def hook(event, arguments):
            if event == "open":
                if not isinstance(arguments[0], int):
                    events.append(["open", os.fsdecode(arguments[0]), str(arguments[1]), arguments[2]])
            elif event.split(".")[0] in ("import", "exec", "subprocess", "socket", "os", "shutil", "pickle", "ctypes"):
                if event not in ("os.scandir", "os.listdir"):
                    events.append([event, str(arguments)])

        sys.addaudithook(hook)
        _, tokenizer = load_model(parent / "small")
        assert tokenizer is not None
        count, before = len(events), peak()
        del events[count:]
        model, _ = load_model(parent / "large")
        report = {"events": list(events), "growth": peak() - before}
        print(json.dumps(report))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["events"]
    for event in report["events"]:
        assert event[0] == "open", event
        _, path, mode, flags = event
        assert Path(path).is_relative_to(tmp_path), event
        assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT), event
        assert not set(mode) & set("wax+"), event
    assert report["growth"] < 1.3 * size + 20_000_000
