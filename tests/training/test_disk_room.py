"""The room for a checkpoint is known, and asked for, before the first step."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.training.tiny import newest, tiny_run
from zoo.checkpoint import disk
from zoo.errors import CheckpointError
from zoo.training.disk_room import checkpoint_bytes
from zoo.training.run import prepare, pretrain


@pytest.mark.parametrize(
    "settings", [[], ["optimizer.kind=muon", "trainer.ema={decay: 0.9}"], ["trainer.precision=bf16-true"]]
)
def test_what_is_foretold_is_what_is_written(settings: list[str], tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt", "trainer.max_steps=2", *settings)
    pretrain(config, tmp_path / "run")
    written = sum(path.stat().st_size for path in newest(tmp_path / "run").rglob("*.safetensors"))
    foretold = checkpoint_bytes(prepare(config).config)
    assert foretold < written < foretold + 20_000  # the names of the tensors


def test_optimizer_that_looks_at_numbers_trains_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = prepare(tiny_run(tmp_path, "gpt", "trainer.max_steps=1")).config
    foretold, step = checkpoint_bytes(config), torch.optim.AdamW.step

    def look(optimizer: torch.optim.AdamW, *arguments: Any, **options: Any) -> Any:
        assert float(optimizer.param_groups[0]["params"][0].grad.sum()) < 1e9
        return step(optimizer, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", look)
    assert checkpoint_bytes(config) < foretold
    assert pretrain(config, tmp_path / "run").steps == 1


def test_full_disk_is_told_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_run(tmp_path, "gpt")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_000_000))
    run = tmp_path / "run"
    with pytest.raises(
        CheckpointError, match=rf"^{run} has 1\.0 MB free, .* checkpoint needs 1\.\d MB; free some space"
    ):
        pretrain(config, run)
    assert not (run / "metrics.csv").exists()
    monkeypatch.undo()
    assert pretrain(config, run).steps == 4
