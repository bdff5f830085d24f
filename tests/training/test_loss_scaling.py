"""A scaled loss: float16 in the products, gradients divided before use, and what a skipped step leaves alone."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.training.tiny import (
    DROPOUT,
    counters,
    distance,
    moments,
    newest,
    rows_without_clocks,
    same,
    tiny_run,
    weights,
)
from zoo.checkpoint.tensors import load_tensors, load_tree
from zoo.errors import TrainingError
from zoo.training.config import RunConfig
from zoo.training.loss_scaling import ScaledPrecision, precision_plugin
from zoo.training.metrics_file import read_metrics
from zoo.training.module import TrainingModule
from zoo.training.precision import FORMATS
from zoo.training.run import pretrain

HALF = ("trainer.precision=16-mixed", "trainer.max_steps=6", "trainer.save_every=1", "trainer.keep=9")


@pytest.fixture
def overflow(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], bool]], None]:
    """Makes the gradient of some steps overflow."""
    part_loss = TrainingModule._part_loss

    def at(due: Callable[[int], bool]) -> None:
        def poison(module: TrainingModule, *arguments: Any) -> Tensor:
            loss = part_loss(module, *arguments)
            return loss * torch.inf if due(module.trainer.global_step + 1) else loss

        monkeypatch.setattr(TrainingModule, "_part_loss", poison)

    return at


def stored(run: Path, step: int) -> dict[str, Tensor]:
    """Weights, statistics and moments of a step."""
    folder = run / "checkpoints" / f"step-{step}"
    model = load_tensors(folder / "model" / "model.safetensors")
    return {**model, **{f"moments {name}": t for name, t in load_tensors(folder / "trainer.safetensors").items()}}


def column(run: Path, name: str) -> list[str]:
    return [row[name] for row in read_metrics(run / "metrics.csv")]


# -------------------------------------------------------------------------------------------------------- skipped steps


@pytest.mark.parametrize(
    "kind, settings", [("bert", []), ("experts", []), ("gpt", ["model.norm={kind: batch_norm}"])], ids=str
)
def test_a_skipped_step_changes_nothing_and_is_counted(
    kind: str, settings: list[str], overflow: Any, tmp_path: Path
) -> None:
    """Weights, moments and their count, running statistics, biases; while number, learning rate and data go on."""
    config = tiny_run(tmp_path, kind, *HALF, *DROPOUT, *settings)
    pretrain(config, tmp_path / "plain")
    overflow(lambda step: step == 3)
    result = pretrain(config, tmp_path / "run")
    run = tmp_path / "run"
    assert same(stored(run, 3), stored(run, 2))
    assert not same(stored(run, 4), stored(run, 3))
    assert all(tensor.isfinite().all() for tensor in weights(run).values())
    assert same(stored(run, 2), stored(tmp_path / "plain", 2))
    assert column(run, "step") == [str(step) for step in range(1, 7)]
    assert column(run, "skipped_steps") == ["0", "0", "1", "1", "1", "1"]
    assert column(run, "loss_scale") == ["65536"] * 3 + ["32768"] * 3
    assert column(run, "learning_rate") == column(tmp_path / "plain", "learning_rate")
    assert column(run, "tokens") == column(tmp_path / "plain", "tokens")
    assert [value == "" for value in column(run, "gradient_norm")] == [False, False, True, False, False, False]
    assert result.steps == 6


def test_a_skip_and_the_scale_survive_a_break(overflow: Any, break_at: Any, tmp_path: Path) -> None:
    """Broken off right after the skip, which the run goes through once more, and later."""
    overflow(lambda step: step == 3)
    config = tiny_run(tmp_path, "gpt", *HALF, *DROPOUT, "trainer.save_every=2")
    pretrain(config, tmp_path / "unbroken")
    for step in (3, 5):
        run = tmp_path / str(step)
        break_at(config, run, step)
        pretrain(config, run)
        assert same(weights(run), weights(tmp_path / "unbroken"))
        assert same(moments(run), moments(tmp_path / "unbroken"))
        assert counters(run) == counters(tmp_path / "unbroken")
        assert rows_without_clocks(run) == rows_without_clocks(tmp_path / "unbroken")
    state = load_tree(newest(tmp_path / "3"), "trainer")["ScaledPrecision"]
    assert (state["scale"], state["_growth_tracker"]) == (32768.0, 3)


def test_endless_skips_end_the_run(overflow: Any, tmp_path: Path) -> None:
    """65536 is halved 17 times until it is below 1; the weights are those from before, and are saved."""
    overflow(lambda step: step > 2)
    config = tiny_run(tmp_path, "gpt", *HALF, "trainer.max_steps=40", "trainer.save_every=2", "trainer.keep=20")
    words = r"step 19 is not finite .* at a loss scale of 1; the weights are those of step 18 .*precision=bf16-mixed"
    with pytest.raises(TrainingError, match=words):
        pretrain(config, tmp_path / "run")
    assert newest(tmp_path / "run").name == "step-18"
    assert same(stored(tmp_path / "run", 18), stored(tmp_path / "run", 2))
    assert column(tmp_path / "run", "skipped_steps")[-1] == "16"


def test_split_of_a_step_skips_as_a_whole(overflow: Any, tmp_path: Path) -> None:
    """One microbatch that overflows is enough, and the others leave nothing behind."""
    part_loss, calls = TrainingModule._part_loss, []

    def poison(module: TrainingModule, *arguments: Any) -> Tensor:
        calls.append(module.trainer.global_step)
        loss = part_loss(module, *arguments)
        return loss * torch.inf if len(calls) == 6 else loss  # the second of the four of step 2

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingModule, "_part_loss", poison)
        pretrain(tiny_run(tmp_path, "gpt", *HALF, "trainer.accumulate=4"), tmp_path / "run")
    assert calls[5] == 1
    assert same(stored(tmp_path / "run", 2), stored(tmp_path / "run", 1))
    assert column(tmp_path / "run", "skipped_steps") == ["0", "1", "1", "1", "1", "1"]


# ------------------------------------------------------------------------------------------------------------ exactness


def test_products_are_in_float16_and_gradients_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning would take bfloat16 on a CPU."""
    kept: list[torch.dtype] = []
    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", _recorded(kept))
    pretrain(tiny_run(tmp_path, "gpt", *HALF, "trainer.max_steps=1"), tmp_path / "run")
    assert set(kept) == {torch.float16}


def _recorded(kept: list[torch.dtype]) -> Callable[..., Tensor]:
    attend = nn.functional.scaled_dot_product_attention

    def watch(q_BHTK: Tensor, *arguments: Any, **options: Any) -> Tensor:
        kept.append(q_BHTK.dtype)
        return attend(q_BHTK, *arguments, **options)

    return watch


def test_clips_by_the_norm_of_the_divided_gradient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimizer gets a gradient of that norm at most, and the norm in the log is near that of float32."""
    seen: list[float] = []
    step = torch.optim.AdamW.step

    def watch(optimizer: torch.optim.AdamW, *arguments: Any, **options: Any) -> Any:
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        seen.append(float(torch.nn.utils.get_total_norm(gradients)))
        return step(optimizer, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", watch)
    limit = "trainer.gradient_clip=0.01"
    pretrain(tiny_run(tmp_path, "bert", *HALF, limit), tmp_path / "half")
    pretrain(tiny_run(tmp_path, "bert", *HALF, limit, "trainer.precision=32-true"), tmp_path / "full")
    assert seen == pytest.approx([0.01] * 12, rel=1e-3)
    norms = [[float(norm) for norm in column(tmp_path / name, "gradient_norm")] for name in ("half", "full")]
    assert norms[0][0] == pytest.approx(norms[1][0], rel=1e-2)


def test_gradient_does_not_depend_on_the_scale(
    gradients_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power of two in, the same power out; what differs are numbers that would vanish."""
    start = ScaledPrecision.__init__
    found = []
    for power in (16, 12):

        def begin(plugin: ScaledPrecision, device: str, power: int = power) -> None:
            start(plugin, device)
            plugin.scaler = torch.amp.GradScaler(device, init_scale=2.0**power)

        monkeypatch.setattr(ScaledPrecision, "__init__", begin)
        found += gradients_of(tiny_run(tmp_path, "gpt", *HALF, "trainer.max_steps=1"))
        assert column(tmp_path / "run", "loss_scale") == [f"{2**power}"]
    assert distance(found[0], found[1]) < 1e-4


@pytest.mark.parametrize("precision", FORMATS)
def test_plugins(precision: str) -> None:
    """Only 16-mixed scales; autocast is on where products are coarser than weights."""
    plugin = precision_plugin(precision, "cpu")
    assert isinstance(plugin, ScaledPrecision) == (precision == "16-mixed")
    before = torch.get_default_dtype()
    with plugin.forward_context():
        mixed = FORMATS[precision].weights is not FORMATS[precision].products
        assert torch.is_autocast_enabled("cpu") == mixed
        if mixed:
            assert torch.get_autocast_dtype("cpu") is FORMATS[precision].products
        if precision != "64-true":
            assert torch.get_default_dtype() is before


def test_other_precisions_have_no_scale_in_the_log(tmp_path: Path) -> None:
    config: RunConfig = tiny_run(tmp_path, "gpt", "trainer.max_steps=1")
    for precision in ("32-true", "bf16-true"):
        trainer = dataclasses.replace(config.trainer, precision=precision)
        pretrain(dataclasses.replace(config, trainer=trainer), tmp_path / precision)
        assert "loss_scale" not in read_metrics(tmp_path / precision / "metrics.csv")[0]
