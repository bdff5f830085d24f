"""Models in and out of folders: what opens, as what, and what is said of that which does not."""

import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import zoo
from tests.generation.tiny import pretrained
from tests.tokenizer.families import FAMILIES
from zoo.checkpoint.folder import write_folder
from zoo.checkpoint.model import TRAINING_FORMAT, save_model
from zoo.checkpoint.tensors import load_tensors, save_tensors, save_tree
from zoo.errors import CheckpointError, ConfigError, ZooError
from zoo.generation.abilities import ABILITIES
from zoo.loading import model_folder
from zoo.models import Model
from zoo.pretrained import Pretrained


def save_step(run: Path, step: int, model: Pretrained) -> Path:
    """A training checkpoint as the trainer writes it."""
    folder = run / "checkpoints" / f"step-{step}"

    def write(temporary: Path) -> None:
        save_model(model.model, model.tokenizer, temporary / "model")
        save_tree({"step": step, "moments": torch.ones(3)}, temporary, "trainer")

    write_folder(folder, write, format=TRAINING_FORMAT)
    return folder


def weights(model: Model) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten().float() for parameter in model.parameters()])


@pytest.mark.parametrize("kind", list(ABILITIES))
def test_what_is_saved_is_what_is_loaded(kind: str, tmp_path: Path) -> None:
    model = pretrained(kind, positions="rotary")
    zoo.save(model, tmp_path / "model")
    loaded = zoo.load(tmp_path / "model")
    assert torch.equal(weights(loaded.model), weights(model.model))
    assert loaded.config == model.config
    assert loaded.tokenizer.fingerprint == model.tokenizer.fingerprint
    assert not loaded.model.training
    if "generate" in ABILITIES[kind]:
        assert loaded.generate("The dog") == model.generate("The dog")
    if "fill" in ABILITIES[kind]:
        blank = "[MASK]" if kind == "encoder" else "<extra_id_0>"
        assert loaded.fill(f"The {blank} sees") == model.fill(f"The {blank} sees")


def test_a_bare_model_is_saved_with_or_without_a_tokenizer(tmp_path: Path) -> None:
    model = pretrained("decoder")
    zoo.save(model.model, tmp_path / "bare")
    zoo.save(model.model, str(tmp_path / "with"), model.tokenizer)
    assert zoo.load(tmp_path / "with").generate("The") == model.generate("The")
    bare = zoo.load(tmp_path / "bare")
    assert "language_model" in bare(tokens=torch.tensor([[1, 2, 3]]))
    with pytest.raises(ZooError, match=r"no tokenizer.*zoo.Pretrained\(model, tokenizer\)"):
        bare.generate("The")
    with pytest.raises(ConfigError, match=r"tokenizer: .*\.model"):
        zoo.save(model, tmp_path / "twice", model.tokenizer)
    with pytest.raises(CheckpointError, match="exists already"):
        zoo.save(model, tmp_path / "with")


def test_a_step_and_a_run_open_like_a_model(tmp_path: Path) -> None:
    first, second = pretrained("decoder"), pretrained("decoder", num_layers=1)
    step = save_step(tmp_path, 2, first)
    save_step(tmp_path, 10, second)
    assert zoo.load(step).config.num_layers == 2
    assert zoo.load(step / "model").config.num_layers == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert zoo.load(tmp_path).config.num_layers == 1  # step 10 is newer than step 2


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path: Path) -> None:
    save_step(tmp_path, 2, pretrained("decoder"))
    damaged = save_step(tmp_path, 10, pretrained("decoder", num_layers=1)) / "trainer.json"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="step-10"):
        assert zoo.load(tmp_path).config.num_layers == 2
    shutil.rmtree(tmp_path / "checkpoints" / "step-2")
    with pytest.raises(CheckpointError, match=r"nothing to load: .*step-10"):
        zoo.load(tmp_path)


def flip(path: Path) -> None:
    """Changes a bit of a file's last byte."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_weights_that_changed_are_passed_over_with_a_warning(tmp_path: Path) -> None:
    first = save_step(tmp_path, 2, pretrained("decoder"))
    second = save_step(tmp_path, 10, pretrained("decoder", num_layers=1))
    flip(second / "model" / "model.safetensors")
    for opened in (lambda: zoo.load(tmp_path).source, lambda: model_folder(tmp_path)):
        with pytest.warns(UserWarning, match=r"passing over step-10, going on from step-2: .*another content"):
            assert opened() == first / "model"
    flip(first / "model" / "model.safetensors")
    for opened in (lambda: zoo.load(tmp_path), lambda: model_folder(tmp_path)):
        with pytest.raises(CheckpointError, match=r"nothing to load: .*step-10.*step-2.*another content"):
            opened()
    with pytest.raises(CheckpointError, match=r"model\.safetensors has another content"):
        zoo.load(second)


def test_a_model_does_not_depend_on_what_only_training_reads(tmp_path: Path) -> None:
    save_step(tmp_path, 2, pretrained("decoder"))
    step = save_step(tmp_path, 10, pretrained("decoder", num_layers=1))
    flip(step / "trainer.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert zoo.load(tmp_path).config.num_layers == 1
    (step / "trainer.safetensors").unlink()
    with pytest.warns(UserWarning, match=r"step-10.*trainer\.safetensors is missing"):
        assert zoo.load(tmp_path).config.num_layers == 2


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="absent is missing"):
        zoo.load(tmp_path / "absent")
    with pytest.raises(
        CheckpointError, match=r"holds no model: .*model\.safetensors.*model/.*checkpoints/ \(it is empty\)"
    ):
        zoo.load(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(CheckpointError, match=r"a run has checkpoints/$"):
        zoo.load(tmp_path)
    (tmp_path / "weights.safetensors").write_text("")
    with pytest.raises(CheckpointError, match=r"found: weights\.safetensors"):
        zoo.load(tmp_path)
    (tmp_path / "mine" / "checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"it has models in it: mine"):
        zoo.load(tmp_path)
    with pytest.raises(CheckpointError, match="is a file"):
        zoo.load(tmp_path / "notes.txt")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(CheckpointError, match="no checkpoint has been saved yet"):
        zoo.load(tmp_path)


def test_a_hub_name_without_its_prefix_is_told_how_to_write_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"openai-community/gpt2 is missing; .* write hub:openai-community/gpt2;"):
        zoo.load("openai-community/gpt2")
    (tmp_path / "runs").mkdir()
    for place in ("runs/gpt2", "/absent/gpt2", "absent", "a/b/c", "../absent/gpt2"):
        with pytest.raises(CheckpointError, match="is missing") as caught:
            zoo.load(place)
        assert "hub:" not in str(caught.value)


def test_dtype_and_device(tmp_path: Path) -> None:
    zoo.save(pretrained("decoder"), tmp_path / "model")
    half = zoo.load(tmp_path / "model", dtype="bfloat16")
    assert {parameter.dtype for parameter in half.model.parameters()} == {torch.bfloat16}
    assert isinstance(half.generate("The", temperature=1.0, max_new_tokens=8), str)
    same = zoo.load(tmp_path / "model", dtype=torch.bfloat16)
    assert torch.equal(weights(same.model), weights(half.model))
    with pytest.raises(ConfigError, match=r"dtype: unknown dtype 'float23'.*did you mean 'float32'"):
        zoo.load(tmp_path / "model", dtype="float23")
    for other in (torch.float16, 16, ["float32"]):
        with pytest.raises(ConfigError, match=r"dtype: unknown dtype .*legal: bfloat16, float32"):
            zoo.load(tmp_path / "model", dtype=other)  # type: ignore[arg-type]
    for device in ("tpu", "cuda:x", "gpu"):
        with pytest.raises(ConfigError, match=r"device: .*legal: cpu, cuda"):
            zoo.load(tmp_path / "model", device=device)
    with pytest.raises(ConfigError, match="device: 'cuda:99' is not there"):
        zoo.load(tmp_path / "model", device="cuda:99")


def test_a_device_is_named_as_torch_names_it(tmp_path: Path) -> None:
    zoo.save(pretrained("decoder"), tmp_path / "model")
    foreign(tmp_path / "theirs")
    for folder in (tmp_path / "model", tmp_path / "theirs"):
        for device in (torch.device("cpu"), None, "cpu"):
            model = zoo.load(folder, device=device)
            assert {parameter.device.type for parameter in model.model.parameters()} == {"cpu"}
        for device, told in (
            (99, "device: 'cuda:99' is not there"),
            (torch.device("cuda", 99), "device: 'cuda:99' is not there"),
            (torch.device("meta"), r"device: device\(type='meta'\) is no device \(legal: cpu, cuda"),
            (-1, "device: -1 is no device"),
            (True, "device: True is no device"),
            (1.0, r"device: 1\.0 is no device"),
            (["cpu"], r"device: \['cpu'\] is no device"),
        ):
            with pytest.raises(ConfigError, match=told):
                zoo.load(folder, device=device)  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.parametrize("kind", list(ABILITIES))
def test_a_gpu_gives_what_the_cpu_gives(kind: str, tmp_path: Path) -> None:
    zoo.save(pretrained(kind, positions="rotary"), tmp_path / "model")
    near, far = zoo.load(tmp_path / "model"), zoo.load(tmp_path / "model", device="cuda")
    if "generate" in ABILITIES[kind]:
        texts = ["The dog", "A"]
        assert far.generate(texts, temperature=1.0) == near.generate(texts, temperature=1.0)
    if "fill" in ABILITIES[kind]:
        text = "The [MASK] sees" if kind == "encoder" else "The<extra_id_0> sees"
        assert far.fill(text).text == near.fill(text).text


def test_which_checkpoint_of_a_run(tmp_path: Path) -> None:
    """The rest of it, on real runs, is in tests/training/test_conductor.py."""
    run, model = tmp_path / "run", pretrained("decoder")
    step = save_step(run, 5, model)
    with pytest.raises(ConfigError, match=r"which: unknown checkpoint 'last' \(legal: best, newest\)"):
        zoo.load(run, which="last")
    with pytest.raises(CheckpointError, match=r"kept no best checkpoint; train with best\.keep=1"):
        zoo.load(run, which="best")
    with pytest.raises(CheckpointError, match="is no run"):
        zoo.load(step, which="best")
    assert torch.equal(weights(zoo.load(run).model), weights(model.model))


# ------------------------------------------------------------------------------------------------- Hugging Face folders


def foreign(folder: Path, vocab_size: int = 400) -> Path:
    """A GPT-2 as transformers saves it, with its tokenizer's older files."""
    folder.mkdir()
    FAMILIES["gpt2"](folder)
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=16, n_positions=32, vocab_size=vocab_size)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_a_folder_of_transformers_opens(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "theirs")
    model = zoo.load(folder, dtype="bfloat16")
    assert model.architecture == "gpt2"
    assert model.source == folder
    assert {parameter.dtype for parameter in model.model.parameters()} == {torch.bfloat16}
    assert isinstance(model.generate("the fox", max_new_tokens=3), str)
    with pytest.raises(
        CheckpointError, match=r"is a Hugging Face folder, with one set of weights; leave out weights='ema'$"
    ):
        zoo.load(folder, weights="ema")


def test_a_tokenizer_with_more_ids_than_rows_is_refused(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "theirs", vocab_size=40)
    with pytest.raises(CheckpointError, match=r"the tokenizer has \d+ ids but the model's vocabulary only 40"):
        zoo.load(folder)


def test_a_tokenizer_and_weights_that_do_not_fit_are_told_at_once(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "theirs", vocab_size=40)
    tensors = load_tensors(folder / "model.safetensors")
    del tensors["transformer.ln_f.weight"]
    (folder / "model.safetensors").unlink()
    save_tensors(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"only 40: they do not .*missing: transformer\.ln_f\.weight"):
        zoo.load(folder)


@pytest.mark.parametrize("fields", [{"hat": 1}, {"hat": 1, "n_head": 3}])
def test_what_else_is_wrong_is_told_with_a_config_that_is_refused(fields: dict[str, int], tmp_path: Path) -> None:
    """Weights are compared as far as the fields that are known say what the model is."""
    folder = changed(foreign(tmp_path / "theirs", vocab_size=40), **fields)
    tensors = load_tensors(folder / "model.safetensors")
    del tensors["transformer.ln_f.weight"]
    (folder / "model.safetensors").unlink()
    save_tensors(tensors, folder / "model.safetensors")
    with pytest.raises(ConfigError, match=r"hat: gpt2 has a field that is not known") as caught:
        zoo.load(folder)
    assert "the model's vocabulary only 40: they do not belong together" in str(caught.value)
    assert ("missing: transformer.ln_f.weight" in str(caught.value)) == ("n_head" not in fields)


def test_a_config_alone_at_fault_is_told_alone(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.json: hat: gpt2 has a field that is not known[^\n]*$"):
        zoo.load(changed(foreign(tmp_path / "theirs"), hat=1))


def test_what_has_no_config_or_only_pickles_is_told(tmp_path: Path) -> None:
    folder = foreign(tmp_path / "theirs")
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"holds no model: .*config\.yaml, or config\.json where Hugging"):
        zoo.load(folder)
    (folder / "model.safetensors").unlink()
    (folder / "ckpt.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"pickles \(ckpt\.pt\).*zoo import .*--unsafe-format .*nanogpt"):
        zoo.load(folder)
    with pytest.raises(
        CheckpointError, match=r"is a pickle.*zoo import .*/ckpt\.pt <new folder> --unsafe-format nanogpt"
    ):
        zoo.load(folder / "ckpt.pt")
    (folder / "notes.txt").write_text("")
    with pytest.raises(CheckpointError, match=r"notes.txt is a file; name a run .* or a Hugging Face folder$"):
        zoo.load(folder / "notes.txt")


@pytest.mark.parametrize(
    "name, words",
    [
        ("model.gguf", r"has no model\.safetensors \(found: config\.json, .*model\.gguf.*GGUF does not open here"),
        ("adapter_config.json", r"is an adapter .*merge_and_unload"),
        ("notes", r"has no model\.safetensors \(found: config\.json, .*fetch the model's safetensors too"),
    ],
)
def test_a_folder_without_weights_says_what_is_there(name: str, words: str, tmp_path: Path) -> None:
    folder = foreign(tmp_path / "theirs")
    (folder / "model.safetensors").unlink()
    (folder / name).write_text("{}")
    with pytest.raises(CheckpointError, match=words):
        zoo.load(folder)


def changed(folder: Path, name: str = "config.json", **fields: Any) -> Path:
    """A foreign folder with other fields in a JSON file of it; null: without them."""
    said = {**json.loads((folder / name).read_text()), **fields}
    (folder / name).write_text(json.dumps({key: value for key, value in said.items() if value is not None}))
    return folder


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"model_type": None}, r"config\.json has no model_type"),
        ({"quantization_config": {"bits": 4}}, r"quantized weights do not open here; take the model from before"),
        ({"n_head": 5}, r"n_head: 5 heads do not divide .*num_heads"),
        ({"strange": 5}, r"strange: .* not known here .*take it out of config\.json"),
    ],
)
def test_what_is_wrong_is_named_as_in_the_config(fields: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        zoo.load(changed(foreign(tmp_path / "theirs"), **fields))


def test_an_end_that_the_model_lacks_is_warned_of(tmp_path: Path) -> None:
    folder = changed(foreign(tmp_path / "theirs"), "generation_config.json", eos_token_id=99999)
    with pytest.warns(UserWarning, match=r"eos_token_id is 99999, but the model has only the 400 ids"):
        zoo.load(folder)


@pytest.mark.parametrize("named", ["GPT2LMHeadModel", "MyModel"])
def test_no_code_of_a_folder_runs_and_a_class_that_only_it_has_is_refused(named: str, tmp_path: Path) -> None:
    plain = foreign(tmp_path / "theirs")
    expected = zoo.load(plain).model(tokens=torch.arange(5)[None])["language_model"]
    folder = changed(plain, auto_map={"AutoModelForCausalLM": f"modeling.{named}"}, architectures=[named])
    (folder / "modeling.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')")
    if named == "MyModel":
        with pytest.raises(ConfigError, match=r"auto_map: .* never runs here"):
            zoo.load(folder)
    else:
        with pytest.warns(UserWarning, match=r"\(auto_map\) never runs here; it opens as transformers' own gpt2"):
            found = zoo.load(folder).model(tokens=torch.arange(5)[None])["language_model"]
        assert torch.equal(found, expected)
    assert not (tmp_path / "mark").exists()


def test_what_is_no_path_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^folder: None is not the path of a folder"):
        zoo.load(None)  # type: ignore[arg-type]


def test_any_path_is_taken(tmp_path: Path) -> None:
    class Place(os.PathLike[str]):
        def __fspath__(self) -> str:
            return str(tmp_path / "missing")

    with pytest.raises(CheckpointError, match="missing"):
        zoo.load(Place())
    with pytest.raises(CheckpointError, match="missing"):
        zoo.evaluate(Place())
