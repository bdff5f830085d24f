"""The estimate of a step's memory against what torch's allocator hands out in a real step."""

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.live_bytes import measured_run
from zoo.models.create import model_config
from zoo.models.flops import RowShape
from zoo.nn.recompute import BlocksRecomputeConfig
from zoo.training.accumulation import num_microbatches
from zoo.training.cost import load
from zoo.training.ema import EMAConfig
from zoo.training.memory import LiveBytes, Load, step_memory
from zoo.training.optimizers import AdamWConfig, OptimizerConfig

WIDE = ("model.dim=96", "model.num_layers=3", "model.feed_forward_dim=384", "model.max_length=96")
RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "encoder with two heads": ("bert", WIDE),
    "encoder, dropout": ("bert", (*WIDE, "model.dropout={embedding: 0.1, attention: 0.1, residual: 0.1}")),
    "decoder, long rows": ("gpt", (*WIDE, "model.max_length=256", "objectives.causal_lm.packing=stream")),
    "decoder, bfloat16 products": ("gpt", (*WIDE, "trainer.precision=bf16-mixed")),
    "grouped heads, gated, four microbatches": (
        "gpt",
        (
            *WIDE,
            "model.num_heads=4",
            "model.num_kv_heads=2",
            "model.feed_forward=gated",
            "model.norm=rms_norm",
            "model.positions=rotary",
            "trainer.accumulate=4",
            "trainer.batch_size=32",
        ),
    ),
    "encoder-decoder": ("t5", (*WIDE, "objectives.span_corruption.packing=documents")),
    "experts": ("experts", WIDE),
    "by formula, windows, sandwich": (
        "gpt",
        (*WIDE, "model.attention={kernel: reference, window: 16}", "model.placement=sandwich"),
    ),
    "blocks run again, a moving average": (
        "gpt",
        (*WIDE, "model.num_layers=6", "trainer.recompute=blocks", "trainer.ema={decay: 0.9}", "trainer.batch_size=16"),
    ),
    "bfloat16 throughout": ("gpt", (*WIDE, "trainer.precision=bf16-true")),
    "one row": ("gpt", (*WIDE, "model.dim=256", "trainer.batch_size=1")),
}


@pytest.mark.parametrize("name", RUNS)
def test_within_15_per_cent_of_a_real_step(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, settings = RUNS[name]
    config, measured = measured_run(tmp_path, monkeypatch, kind, *settings)
    told = step_memory(config.model, config.optimizer, load(config, num_microbatches(config), "cpu"))
    assert told.peak == pytest.approx(measured, rel=0.15)


def test_weights_gradients_and_state_are_what_they_are() -> None:
    config = model_config("gpt-nano", vocab_size=512)
    told = step_memory(config, AdamWConfig(), Load(2, RowShape(64, 0, 64.0)))
    assert told.weights == told.gradients == 4 * config.build().num_parameters
    steps = 4 * len(list(config.build().parameters()))  # AdamW counts them for each parameter
    assert told.optimizer == 2 * told.weights + steps
    assert told.peak >= told.weights + told.optimizer + max(told.gradients, told.activations)


@pytest.mark.parametrize("kind", OptimizerConfig.choices)
def test_state_of_every_optimizer(kind: str) -> None:
    """What one step leaves behind: asked of the optimizer itself, so a new one is counted too."""
    config, optimizer = model_config("gpt-nano", vocab_size=512), OptimizerConfig.choice(kind)()
    told = step_memory(config, optimizer, Load(1, RowShape(16, 0, 16.0)))
    model = config.build()
    update = optimizer.build(model, config.initialization)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    update.step()
    tensors = {
        id(one): one for state in update.state.values() for one in state.values() if isinstance(one, torch.Tensor)
    }
    assert told.optimizer == pytest.approx(sum(tensor.nbytes for tensor in tensors.values()), rel=1e-3)


def test_activations_grow_with_rows_and_weights_do_not() -> None:
    config = model_config("t5-nano", vocab_size=512)
    one, two = (step_memory(config, AdamWConfig(), Load(rows, RowShape(64, 16, 16.0))) for rows in (8, 16))
    assert two.activations == pytest.approx(2 * one.activations, rel=0.05)
    assert (one.weights, one.optimizer) == (two.weights, two.optimizer)


def test_activations_that_are_made_again_are_not_kept() -> None:
    config, recompute = model_config("gpt-nano", vocab_size=512, num_layers=8), BlocksRecomputeConfig()
    load = Load(16, RowShape(64, 0, 64.0))
    kept, again = (step_memory(config, AdamWConfig(), one) for one in (load, load._replace(recompute=recompute)))
    assert again.activations < 0.2 * kept.activations
    assert again.peak < kept.peak


def test_a_moving_average_is_a_copy() -> None:
    config = model_config("gpt-nano", vocab_size=512)
    told = step_memory(config, AdamWConfig(), Load(1, RowShape(16, 0, 16.0), precision="bf16-true", ema=EMAConfig()))
    assert told.average == 2 * told.weights  # in float32


def test_a_fused_kernel_keeps_no_scores() -> None:
    """On a CUDA device dropout of attention weights is inside the kernel; on a CPU it is not."""
    config = model_config("bert-nano", dropout={"attention": 0.1}, max_length=512)
    row = RowShape(512, 0, 76.8)
    cpu, cuda = (
        step_memory(config, AdamWConfig(), Load(4, row, device=device, precision="bf16-mixed")).activations
        for device in ("cpu", "cuda")
    )
    scores = 4 * 4 * 4 * 512 * 512  # layers, rows, heads
    assert cpu - cuda > 2 * scores


@pytest.mark.slow
def test_nothing_is_allocated() -> None:
    """A model of 10¹² parameters is no harder than a small one."""
    config = model_config("gpt2", dim=65536, num_heads=64, num_layers=20, dropout={"attention": 0.0})
    told = step_memory(
        config, AdamWConfig(), Load(64, RowShape(1024, 0, 1024.0), precision="bf16-mixed", device="cuda")
    )
    assert told.weights > 4e12


def test_live_bytes_sees_what_comes_and_goes() -> None:
    with LiveBytes() as live:
        first = torch.ones(1000)
        view = first[10:]
        assert live.now == 4000
        second = first + 1
        assert (live.now, live.peak) == (8000, 8000)
        del second
        del first
        assert live.now == 4000, "a view keeps all of it"
        del view
        assert (live.now, live.peak) == (0, 8000)


def test_live_bytes_sees_what_a_backward_keeps() -> None:
    layer, x = nn.Linear(100, 100, bias=False), torch.ones(10, 100)
    with LiveBytes() as live:
        loss = layer(x).relu().square().sum()
        assert live.now >= 2 * 4 * 10 * 100
        loss.backward()
        del loss
        assert live.now == 2 * layer.weight.nbytes  # its gradient, and the weight itself, which was looked at


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["bert", "gpt", "t5"])
def test_within_15_per_cent_on_a_gpu(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = ("model.dim=512", "model.num_layers=6", "model.feed_forward_dim=2048", "model.max_length=256")
    settings = (*large, "model.num_heads=8", "trainer.accelerator=gpu", "trainer.precision=bf16-mixed")
    config, measured = measured_run(tmp_path, monkeypatch, kind, *settings)
    told = step_memory(config.model, config.optimizer, load(config, num_microbatches(config), "cuda"))
    assert told.peak == pytest.approx(measured, rel=0.15)
