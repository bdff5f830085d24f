"""The room for a checkpoint is known, and asked for, before the first step."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.training.tiny import newest, tiny_run
from zoo.checkpoint import disk
from zoo.errors import CheckpointError
from zoo.nn.norm import LayerNorm
from zoo.training.disk_room import checkpoint_bytes
from zoo.training.run import prepare, pretrain


@pytest.mark.parametrize(
    "settings", [[], ["optimizer.kind=muon", "trainer.ema={decay: 0.9}"], ["trainer.precision=bf16-true"]]
)
def test_what_is_foretold_is_what_is_written(settings: list[str], tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "gpt", "trainer.max_steps=2", *settings)
    pretrain(config, tmp_path / "run")
    written = sum(path.stat().st_size for path in newest(tmp_path / "run").rglob("*.safetensors"))
    prepared = prepare(config)
    foretold = checkpoint_bytes(prepared.config, prepared.module.model)
    assert foretold < written < foretold + 20_000  # the names of the tensors


@pytest.mark.parametrize("place", ["optimizer", "block"])
def test_what_looks_at_numbers_trains_all_the_same(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's own optimizer or block may; then the weights alone are counted."""
    config = tiny_run(tmp_path, "gpt", "trainer.max_steps=1")
    step, begin = torch.optim.AdamW.step, LayerNorm.__init__

    def look(optimizer: torch.optim.AdamW, *arguments: Any, **options: Any) -> Any:
        if optimizer.param_groups[0]["params"][0].grad.norm() > 1e9:
            raise AssertionError
        return step(optimizer, *arguments, **options)

    def compute(norm: LayerNorm, *arguments: Any, **options: Any) -> None:
        begin(norm, *arguments, **options)
        norm.start = torch.linspace(0, 1, 3).sum().item()  # type: ignore[assignment]

    if place == "optimizer":
        monkeypatch.setattr(torch.optim.AdamW, "step", look)
    else:
        monkeypatch.setattr(LayerNorm, "__init__", compute)
    prepared = prepare(config)
    weights = sum(weight.nbytes for weight in prepared.module.model.parameters())
    assert checkpoint_bytes(prepared.config, prepared.module.model) == weights
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
