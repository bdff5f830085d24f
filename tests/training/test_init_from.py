"""Runs that start from other weights: the same numbers, new rows by the stated rule, everything else refused."""

import dataclasses
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo
from tests.interop.test_folder import SIZE, write_foreign
from tests.training.tiny import newest, same, tiny_run, weights, write_config
from zoo.checkpoint.manifest import hash_file
from zoo.checkpoint.model import load_model
from zoo.errors import CheckpointError, ConfigError
from zoo.loading import model_folder
from zoo.tokenizer.train import BytesConfig
from zoo.training import init_from
from zoo.training.conductor import Conductor
from zoo.training.config import RunConfig
from zoo.training.held_out import evaluate
from zoo.training.origin import read_origin
from zoo.training.run import Result, pretrain
from zoo.training.shipped import load_run

NEW = ("<|user|>", "<|a b|>")


def continued(folder: Path, kind: str, start: Path, *settings: str) -> RunConfig:
    """The config of a run that takes model and tokenizer from where its weights come from."""
    lines = write_config(folder, kind).read_text(encoding="utf-8").splitlines()
    path = folder / f"{kind}-on.yaml"
    path.write_text(
        "\n".join(line for line in lines if not line.startswith(("model:", "tokenizer:"))), encoding="utf-8"
    )
    return load_run(path, [f"init_from={start}", *settings]).config


def first_weights(config: RunConfig, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """The weights of a run before its first step."""
    found: dict[str, Tensor] = {}

    class Ending(Exception):  # noqa: N818
        pass

    def end(self: Conductor, trainer: Any, module: Any) -> None:
        found.update({name: tensor.clone() for name, tensor in module.model.state_dict().items()})
        raise Ending

    with monkeypatch.context() as patch:
        patch.setattr(Conductor, "on_train_start", end)
        with pytest.raises(Ending):
            pretrain(config, folder)
    return found


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    pretrain(tiny_run(tmp_path, "gpt"), tmp_path / "trained")
    return tmp_path / "trained"


@pytest.mark.parametrize("kind", ["bert", "gpt", "t5"])
@pytest.mark.parametrize("place", ["run", "checkpoint", "model"])
def test_starts_with_the_weights_of_ours(
    kind: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "trained"
    pretrain(tiny_run(tmp_path, kind), run)
    folder = {"run": run, "checkpoint": newest(run), "model": newest(run) / "model"}[place]
    config = continued(tmp_path, kind, folder)
    found = first_weights(config, tmp_path / "on", monkeypatch)
    assert all(torch.equal(found[name], tensor) for name, tensor in weights(run).items())
    assert f"starts from the weights of {newest(run) / 'model'}" in capsys.readouterr().err
    entry = read_origin(tmp_path / "on")["init_from"]
    assert entry == {
        "path": str(folder),
        "sha256": {"model.safetensors": hash_file(newest(run) / "model" / "model.safetensors")},
    }
    assert pretrain(config, tmp_path / "on").steps == 4


def test_run_that_goes_on_reads_the_source_no_more(trained: Path, tmp_path: Path) -> None:
    config = continued(tmp_path, "gpt", trained, "trainer.save_every=2", f"tokenizer.add_tokens={list(NEW)}")
    whole = pretrain(config, tmp_path / "whole")
    pretrain(config, tmp_path / "on")
    for name in ("step-4", "step-3"):
        shutil.rmtree(tmp_path / "on" / "checkpoints" / name, ignore_errors=True)
    (tmp_path / "on" / "result.json").unlink()
    shutil.rmtree(trained)
    with pytest.raises(ConfigError, match=r"init_from: .* needs it no more: zoo pretrain"):
        continued(tmp_path, "gpt", trained)
    again: RunConfig = load_run(tmp_path / "on" / "config.yaml").config
    result: Result = pretrain(again, tmp_path / "on")
    assert result.steps == whole.steps
    assert same(weights(tmp_path / "on"), weights(tmp_path / "whole"))


def test_source_that_changed_before_the_first_checkpoint_is_refused(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = continued(tmp_path, "gpt", trained)
    first_weights(config, tmp_path / "on", monkeypatch)
    pretrain(tiny_run(tmp_path, "gpt", "seed=7"), trained, fresh=True)
    with pytest.raises(CheckpointError, match=r"the weights in .* changed since .* was begun"):
        pretrain(config, tmp_path / "on")


# ----------------------------------------------------------------------------------------------------------- new tokens


@pytest.mark.parametrize("kind", ["bert", "gpt", "t5"])
@pytest.mark.parametrize("multiple", [1, 64])
def test_new_tokens_start_as_the_mean_and_the_others_stay(
    kind: str, multiple: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the table, of a free output layer and of its bias; a tied output layer is the table."""
    padded = f"model.vocab_multiple={multiple}"
    pretrain(tiny_run(tmp_path, kind, padded), tmp_path / "trained")
    config = continued(tmp_path, kind, tmp_path / "trained", f"tokenizer.add_tokens={list(NEW)}")
    found = first_weights(config, tmp_path / "on", monkeypatch)
    model, tokenizer = load_model(model_folder(tmp_path / "trained"))
    assert tokenizer is not None
    known = tokenizer.vocab_size
    assert config.model.vocab_size == known + 2
    old = model.state_dict()
    grown = [name for name, tensor in old.items() if tensor.shape != found[name].shape or len(tensor) >= known]
    assert grown
    for name, tensor in old.items():
        if name not in grown:
            assert torch.equal(found[name], tensor)
            continue
        assert torch.equal(found[name][:known], tensor[:known])
        mean = tensor[:known].double().mean(0).float()
        assert all(torch.equal(found[name][known + new], mean) for new in (0, 1))
        assert not found[name][known + 2 :].any()
    assert "2 new tokens start as the mean of all others" in capsys.readouterr().err
    assert pretrain(config, tmp_path / "on").steps == 4
    assert evaluate(tmp_path / "on").loss > 0
    own = zoo.load(tmp_path / "on").tokenizer
    assert own.encode("a<|user|>b").tolist()[1] == known


def test_new_tokens_that_are_none(trained: Path, tmp_path: Path) -> None:
    for tokens, words in (
        (["a"], "'a' is in the vocabulary"),
        ([""], "'' is empty"),
        (["xx", "xx"], "'xx' is said twice"),
    ):
        config = continued(tmp_path, "gpt", trained, f"tokenizer.add_tokens={tokens}")
        with pytest.raises(ConfigError, match=f"tokenizer.add_tokens: {words}"):
            pretrain(config, tmp_path / "on")


# -------------------------------------------------------------------------------------------------------------- foreign


def test_starts_with_the_weights_of_a_foreign_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = zoo.create_model("gpt2", vocab_size=300, **SIZE)
    folder = write_foreign(tmp_path / "foreign", model, shards=2)
    BytesConfig().train().save(folder)
    config = continued(tmp_path, "gpt", folder)
    found = first_weights(config, tmp_path / "on", monkeypatch)
    assert same(found, model.state_dict())
    assert config.model.vocab_size == 300  # more rows than tokens, as many as there were
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    assert sorted(read_origin(tmp_path / "on")["init_from"]["sha256"]) == shards
    assert pretrain(config, tmp_path / "on").steps == 4


# ---------------------------------------------------------------------------------------------------------------- heads


def test_heads_that_are_only_on_one_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain(tiny_run(tmp_path, "bert"), tmp_path / "both")
    alone = ("objectives.next_sentence=null", "model.heads.next_sentence=null")
    config = continued(tmp_path, "bert", tmp_path / "both", *alone)
    first_weights(config, tmp_path / "one", monkeypatch)
    assert "the head next_sentence is left out" in capsys.readouterr().err
    pretrain(config, tmp_path / "one")
    config = tiny_run(
        tmp_path,
        "bert",
        f"init_from={tmp_path / 'one'}",
        f"tokenizer={{kind: file, path: {tmp_path / 'one' / 'tokenizer'}}}",
    )
    first_weights(config, tmp_path / "two", monkeypatch)
    assert "the head next_sentence is drawn anew, by model.initialization (bert)" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------- refusals


def test_tokenizer_of_another_kind_is_refused_with_what_to_say(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer.kind: bytes would be another .* tokenizer='\{kind: file, path: "):
        tiny_run(tmp_path, "gpt", f"init_from={trained}")


def test_a_config_of_another_model_is_told_every_setting_before_text_is_read(trained: Path, tmp_path: Path) -> None:
    """The tokenizer and the sizes in one answer; with what it says the run starts."""
    other = ("model.dim=32", "model.num_layers=1", "data.source.path=gone")
    with pytest.raises(ConfigError, match=r"^tokenizer\.kind: bytes") as caught:
        tiny_run(tmp_path, "gpt", f"init_from={trained}", *other)
    added = shlex.split(str(caught.value).partition("; add ")[2].partition("; or leave")[0])
    assert {"model.dim=16", "model.num_layers=2"} < {*added}
    with pytest.raises(ConfigError, match=r"^model: the weights of .*; add .*model\.dim=16 .*model\.num_layers=2"):
        pretrain(tiny_run(tmp_path, "gpt", f"init_from={trained}", *other, *added[:1]), tmp_path / "refused")
    config = tiny_run(tmp_path, "gpt", f"init_from={trained}", *other[:2], *added, "trainer.max_steps=1")
    assert pretrain(config, tmp_path / "on").steps == 1


def test_the_folder_is_looked_for_first(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^init_from: .*gone is missing"):
        tiny_run(tmp_path, "gpt", f"init_from={tmp_path / 'gone'}")


def test_another_tokenizer_is_refused(trained: Path, tmp_path: Path) -> None:
    BytesConfig().train().with_tokens(["zz"]).save(tmp_path / "other")
    config = tiny_run(tmp_path, "gpt", f"init_from={trained}", f"tokenizer={{kind: file, path: {tmp_path / 'other'}}}")
    with pytest.raises(ConfigError, match=r"tokenizer.path: .* has not the tokenizer of the weights"):
        pretrain(config, tmp_path / "on")


@pytest.mark.parametrize(
    "setting, words",
    [
        ("model.dim=32", r"backbone.* is \[\d+, 16\] there and \[\d+, 32\] here"),
        ("model.num_layers=1", "has no place here"),
        ("model.num_layers=3", "is missing there"),
    ],
)
def test_other_shapes_are_refused(setting: str, words: str, trained: Path, tmp_path: Path) -> None:
    config = continued(tmp_path, "gpt", trained, setting)
    with pytest.raises(ConfigError, match=r"do not fit this model; add model\.(dim|num_layers)=\d+"):
        pretrain(config, tmp_path / "on")
    _, tokenizer = load_model(model_folder(trained))
    assert tokenizer is not None
    model = dataclasses.replace(config.model, vocab_size=tokenizer.vocab_size).build(0)
    with pytest.raises(CheckpointError, match=f"do not fit the model: .*{words}"):
        init_from.take_over(model, tokenizer, init_from.find_start(str(trained)))


def test_smaller_vocabulary_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.vocab_size: 100 is less than the \d+ entries"):
        pretrain(continued(tmp_path, "gpt", trained, "model.vocab_size=100"), tmp_path / "on")


@pytest.mark.parametrize("place, words", [("gone", "gone is missing"), ("", "holds no model")])
def test_what_is_no_model_is_refused(place: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"init_from: .*{words}.* It takes a run, a checkpoint"):
        continued(tmp_path, "gpt", tmp_path / place)


def test_weights_that_are_not_finite_are_refused(trained: Path, tmp_path: Path) -> None:
    model, tokenizer = load_model(model_folder(trained))
    with torch.no_grad():
        next(iter(model.parameters()))[0] = float("nan")
    zoo.save(model, tmp_path / "broken", tokenizer)
    with pytest.raises(CheckpointError, match="is not finite there"):
        pretrain(continued(tmp_path, "gpt", tmp_path / "broken"), tmp_path / "on")


def test_table_rows() -> None:
    rows = torch.arange(6.0).reshape(3, 2)
    grown = init_from._with_rows(rows, 6, 2, 4)
    assert grown.tolist() == [[0, 1], [2, 3], [1, 2], [1, 2], [0, 0], [0, 0]]


def test_branch_of_a_run_that_started_from_other_weights(trained: Path, tmp_path: Path) -> None:
    from zoo.training.branch import branch
    from zoo.training.extend import config_of

    config = continued(tmp_path, "gpt", trained, f"tokenizer.add_tokens={list(NEW)}", "trainer.save_every=2")
    pretrain(config, tmp_path / "on")
    shutil.rmtree(trained)
    path = branch(tmp_path / "on", 2, "other")
    pretrain(config_of(path), path)
    assert same(weights(path), weights(tmp_path / "on"))
    assert json.loads((path / "origin.json").read_text(encoding="utf-8"))["branched"]["step"] == 2


@pytest.mark.parametrize("setting", ["init_from.path=there", "init_from={path: there}"])
def test_what_is_no_text_is_refused_with_what_to_write(setting: str, tmp_path: Path) -> None:
    """Before anything is said of the model, which such a config need not name."""
    path = tmp_path / "config.yaml"
    path.write_text("name: x\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^init_from: \{'path': 'there'\} is not text; .* init_from=there$"):
        load_run(path, [setting])


def test_what_a_branch_with_another_optimizer_is_told_to_do_works(trained: Path, tmp_path: Path) -> None:
    from zoo.training.branch import branch

    with pytest.raises(ConfigError, match=r"optimizer\.kind: .* start a new run from the weights alone") as caught:
        branch(trained, None, "new", ["optimizer.kind=muon", "trainer.max_steps=9"])
    start = str(caught.value).rpartition("init_from=")[2]
    config = continued(tmp_path, "gpt", Path(start), "optimizer.kind=muon", "trainer.max_steps=1")
    assert pretrain(config, tmp_path / "on").steps == 1


def test_initialization_of_nothing_is_refused(trained: Path, tmp_path: Path) -> None:
    """Every weight comes from there, unless a head is new or the scheme has a rule for the rates."""
    message = r"^model\.initialization: has no effect: every weight comes from .* heads are language_model"
    for setting in ("model.initialization=xavier", "model.initialization.std=0.1"):
        with pytest.raises(ConfigError, match=message):
            continued(tmp_path, "gpt", trained, setting)
    alone = ("objectives.next_sentence=null", "model.heads.next_sentence=null", "trainer.max_steps=1")
    pretrain(tiny_run(tmp_path, "bert", *alone), tmp_path / "one")
    new = ("model.heads.next_sentence={kind: next_sentence}", "model.initialization=xavier")
    assert continued(tmp_path, "bert", tmp_path / "one", *new).model.initialization.kind == "xavier"
