"""Lightning's checkpoints in zoo's format."""

from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from tests.training.tiny import KINDS, newest, same, tiny_run
from zoo.errors import CheckpointError
from zoo.training.checkpoint_io import PREFIX, FolderCheckpointIO
from zoo.training.run import Prepared, prepare, pretrain


def parts(tmp_path: Path, kind: str = "gpt", seed: int = 0) -> tuple[Prepared, FolderCheckpointIO]:
    prepared = prepare(tiny_run(tmp_path, kind, f"seed={seed}"), progress=False)
    return prepared, FolderCheckpointIO(prepared.module.model, prepared.corpus.tokenizer)


def checkpoint_of(prepared: Prepared, **rest: Any) -> dict[str, Any]:
    return {"state_dict": dict(prepared.module.state_dict()), "global_step": 3, **rest}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_what_is_loaded(kind: str, tmp_path: Path) -> None:
    """Every name that Lightning will look for is there, shared weights under all of their names."""
    prepared, io = parts(tmp_path, kind)
    states = [{"state": {0: {"exp_avg": torch.rand(3)}}, "param_groups": [{"betas": (0.9, 0.99), "params": [0]}]}]
    io.save_checkpoint(checkpoint_of(prepared, optimizer_states=states), tmp_path / "step-3")
    before = {name: tensor.clone() for name, tensor in prepared.module.state_dict().items()}
    fresh, other = parts(tmp_path, kind, seed=1)
    assert not same(dict(fresh.module.state_dict()), before)
    loaded = other.load_checkpoint(tmp_path / "step-3")
    assert all(name.startswith(PREFIX) for name in loaded["state_dict"])
    assert same(dict(fresh.module.state_dict()), before)
    assert same(loaded["state_dict"], before)
    assert loaded["global_step"] == 3
    assert loaded["optimizer_states"][0]["param_groups"] == states[0]["param_groups"]
    assert torch.equal(loaded["optimizer_states"][0]["state"][0]["exp_avg"], states[0]["state"][0]["exp_avg"])
    fresh.module.load_state_dict(loaded["state_dict"])


def test_model_part_opens_by_itself(tmp_path: Path) -> None:
    prepared, io = parts(tmp_path)
    io.save_checkpoint(checkpoint_of(prepared), tmp_path / "step-3")
    model = zoo.load(tmp_path / "step-3" / "model")
    assert model.tokenizer is not None
    assert model.tokenizer.fingerprint == prepared.corpus.tokenizer.fingerprint
    assert same(dict(model.model.state_dict()), dict(prepared.module.model.state_dict()))


def test_damage_is_found_before_anything_is_loaded(tmp_path: Path) -> None:
    prepared, io = parts(tmp_path)
    io.save_checkpoint(checkpoint_of(prepared), tmp_path / "step-3")
    (tmp_path / "step-3" / "trainer.json").write_text("{}", encoding="utf-8")
    fresh, other = parts(tmp_path, seed=1)
    before = {name: tensor.clone() for name, tensor in fresh.module.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"trainer\.json"):
        other.load_checkpoint(tmp_path / "step-3")
    assert same(dict(fresh.module.state_dict()), before)


def test_damaged_folder_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    prepared, io = parts(tmp_path)
    (tmp_path / "step-3").mkdir()
    (tmp_path / "step-3" / "half").write_text("…", encoding="utf-8")
    io.save_checkpoint(checkpoint_of(prepared), tmp_path / "step-3")
    assert io.load_checkpoint(tmp_path / "step-3")["global_step"] == 3
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_lightning_does_not_remove_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError):
        parts(tmp_path)[1].remove_checkpoint(tmp_path)


def test_checkpoint_of_a_run_holds_no_class_and_no_code(tmp_path: Path) -> None:
    pretrain(tiny_run(tmp_path, "gpt", "trainer.max_steps=1"), tmp_path / "run")
    names = {path.suffix for path in newest(tmp_path / "run").rglob("*") if path.is_file()}
    assert names <= {".json", ".safetensors", ".yaml"}
