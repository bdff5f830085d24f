"""Precisions: what has which format, what stays finer, how near each comes to float64, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from tests.training.tiny import DROPOUT, distance, moments, newest, same, tiny_run, weights
from zoo.checkpoint.tensors import load_tensors
from zoo.errors import ConfigError
from zoo.nn.norm import BatchNormConfig, LayerNormConfig, RMSNormConfig
from zoo.training.optimizers import OptimizerConfig
from zoo.training.precision import FORMATS, check_precision, convert, gradient_norm
from zoo.training.run import prepare, pretrain

FAMILIES = ["bert", "gpt", "t5"]
ROUNDING = {"64-true": 1e-12, "32-true": 1e-5, "bf16-mixed": 5e-2, "bf16-true": 8e-2, "16-mixed": 1e-2}
"""Of the first gradient, to that of float64, by precision: a few roundings from the embedding to the loss and back."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAMILIES)
def test_gradients_by_precision(kind: str, gradients_of: Any, tmp_path: Path) -> None:
    """Each comes as near to float64 as its format allows, whole and split; float16 nearer than bfloat16."""
    exact = gradients_of(tiny_run(tmp_path, kind, "trainer.max_steps=1", "trainer.precision=64-true"))[0]
    gaps = {}
    for precision, tolerance in ROUNDING.items():
        for accumulate in (1, 4):
            settings = (f"trainer.precision={precision}", f"trainer.accumulate={accumulate}", "trainer.max_steps=1")
            (found,) = gradients_of(tiny_run(tmp_path, kind, *settings))
            assert {tensor.dtype for tensor in found.values()} == {FORMATS[precision].weights}
            gaps[precision, accumulate] = distance(found, exact)
            assert gaps[precision, accumulate] < tolerance, (precision, accumulate)
    assert gaps["16-mixed", 1] < gaps["bf16-mixed", 1]
    assert gaps["32-true", 1] < gaps["16-mixed", 1]


def formats(tensors: dict[str, Tensor]) -> set[torch.dtype]:
    return {tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()}


@pytest.mark.parametrize("precision", FORMATS)
def test_checkpoints_keep_the_format(precision: str, tmp_path: Path) -> None:
    """Of the weights and of the optimizer; a run opens in the format it was trained in."""
    pretrain(tiny_run(tmp_path, "gpt", f"trainer.precision={precision}", "trainer.max_steps=2"), tmp_path / "run")
    expected = FORMATS[precision].weights
    assert formats(weights(tmp_path / "run")) == {expected}
    assert formats({name: t for name, t in moments(tmp_path / "run").items() if "exp_avg" in name}) == {expected}
    model = zoo.load(tmp_path / "run").model
    assert {parameter.dtype for parameter in model.parameters()} == {expected}
    assert torch.isfinite(model.backbone(tokens=torch.tensor([[3, 4, 5]]))).all()


@pytest.mark.parametrize("precision", [name for name in FORMATS if name != "32-true"])
@pytest.mark.parametrize("kind", ["bert", "experts"])
def test_broken_off_and_continued_in_every_precision(kind: str, precision: str, break_at: Any, tmp_path: Path) -> None:
    """Law 6, dropout on: weights, moments and what experts are balanced by, bit for bit."""
    settings = (*DROPOUT, f"trainer.precision={precision}", "trainer.max_steps=5", "trainer.save_every=2")
    config = tiny_run(tmp_path, kind, *settings)
    pretrain(config, tmp_path / "unbroken")
    break_at(config, tmp_path / "run", 3)
    pretrain(config, tmp_path / "run")
    assert same(weights(tmp_path / "run"), weights(tmp_path / "unbroken"))
    assert same(moments(tmp_path / "run"), moments(tmp_path / "unbroken"))


@pytest.mark.parametrize("precision", FORMATS)
@pytest.mark.parametrize("kind", ["experts", "t5"])
def test_loss_goes_down_in_every_precision(kind: str, precision: str, tmp_path: Path) -> None:
    settings = (f"trainer.precision={precision}", "trainer.max_steps=12", "optimizer.learning_rate=0.01")
    result = pretrain(tiny_run(tmp_path, kind, *settings), tmp_path / "run")
    assert result.metrics["train/loss"] < result.first_loss - 0.3
    assert "validation/loss" in result.metrics


# ----------------------------------------------------------------------------------------------------- what stays finer


def test_running_statistics_and_biases_stay_float32(tmp_path: Path) -> None:
    """A bias moves by 0.01 of itself, which bfloat16 would not show from 2 on."""
    for number, (kind, part) in enumerate((("experts", "balancing.bias"), ("gpt", "running_variance"))):
        settings = ["model.norm={kind: batch_norm}"] if part == "running_variance" else []
        config = tiny_run(tmp_path, kind, "trainer.precision=bf16-true", "trainer.max_steps=1", *settings)
        pretrain(config, tmp_path / str(number))
        found = {name: tensor for name, tensor in weights(tmp_path / str(number)).items() if name.endswith(part)}
        assert found
        assert formats(found) == {torch.float32}
        stored = load_tensors(newest(tmp_path / str(number)) / "model" / "model.safetensors")
        assert torch.bfloat16 in formats(stored)


@pytest.mark.parametrize("config", [LayerNormConfig(), RMSNormConfig(), BatchNormConfig()], ids=lambda each: each.kind)
def test_norms_compute_in_float32(config: Any) -> None:
    """In bfloat16 the result is the exact one, rounded once: a sum of 4,096 numbers in 8 bits would stop at 256."""
    norm = config.build(4096)
    for parameter in norm.parameters():
        nn.init.ones_(parameter) if parameter.ndim else None
    if norm.bias is not None:
        nn.init.zeros_(norm.bias)
    hidden = (torch.rand(3, 7, 4096, generator=torch.Generator().manual_seed(0)) + 0.5).bfloat16()
    exact = config.build(4096).double()
    exact.load_state_dict(norm.state_dict())
    convert(norm, "bf16-true")
    found, wanted = norm(hidden), exact(hidden.double())
    assert found.dtype is torch.bfloat16
    assert (found.double() - wanted).abs().max() <= 2**-7 * wanted.abs().max()


def test_norm_of_a_gradient_in_half_precision_is_exact() -> None:
    parameters = [nn.Parameter(torch.zeros(n, dtype=torch.bfloat16)) for n in (1000, 3)]
    for number, parameter in enumerate(parameters):
        parameter.grad = torch.full_like(parameter, 0.37 + number)
    exact = torch.cat([p.grad.double() for p in parameters if p.grad is not None]).norm()
    assert gradient_norm(parameters).dtype is torch.float32
    assert float(gradient_norm(parameters)) == pytest.approx(float(exact), rel=1e-6)


def test_norm_of_a_gradient_in_full_precision_is_torchs() -> None:
    parameters = [nn.Parameter(torch.rand(50, generator=torch.Generator().manual_seed(n))) for n in range(3)]
    for parameter in parameters:
        parameter.grad = parameter.detach() * 3
    expected = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    assert torch.equal(gradient_norm(parameters), expected)


def test_clipping_in_bfloat16(tmp_path: Path) -> None:
    """The norm that is logged is before the clip, and clipping changes what comes out."""
    for limit in ("0.001", "null"):
        settings = ("trainer.precision=bf16-true", f"trainer.gradient_clip={limit}", "optimizer.eps=1e-2")
        pretrain(tiny_run(tmp_path, "gpt", *settings), tmp_path / limit)
    assert not same(weights(tmp_path / "0.001"), weights(tmp_path / "null"))


@pytest.mark.parametrize("precision", FORMATS)
def test_convert(precision: str, tmp_path: Path) -> None:
    model = prepare(tiny_run(tmp_path, "experts"), progress=False).module.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    convert(model, precision)
    assert formats(dict(model.named_parameters())) == {FORMATS[precision].weights}
    for name, buffer in model.named_buffers():
        assert buffer.dtype is torch.promote_types(FORMATS[precision].weights, torch.float32), name
    assert all(torch.equal(tensor, before[name].to(tensor.dtype)) for name, tensor in model.state_dict().items())


# -------------------------------------------------------------------------------------------------------------- refused


def test_unknown_precision_names_the_legal_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer.precision: .*16-true.*32-true.*bf16-true.*16-mixed"):
        tiny_run(tmp_path, "gpt", "trainer.precision=16-true")


def test_float64_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer.precision: '64-true' does not go with trainer.accelerator=mps"):
        tiny_run(tmp_path, "gpt", "trainer.precision=64-true", "trainer.accelerator=mps")
    check_precision("64-true", ("mps", "cpu"))


@pytest.mark.parametrize("precision", ["bf16-true", "16-mixed"])
@pytest.mark.parametrize("optimizer", OptimizerConfig.choices)
def test_every_optimizer_takes_every_precision(optimizer: str, precision: str, tmp_path: Path) -> None:
    """Those that half precision could trouble; the weights move and stay finite, and the run goes on from them."""
    settings = (f"optimizer={optimizer}", "schedule=constant", f"trainer.precision={precision}", "trainer.save_every=1")
    config = tiny_run(tmp_path, "gpt", *settings, "trainer.max_steps=2", "trainer.keep=2")
    pretrain(config, tmp_path / "run")
    first, last = (
        load_tensors(tmp_path / "run" / "checkpoints" / f"step-{step}" / "model" / "model.safetensors")
        for step in (1, 2)
    )
    assert not same(first, last)
    assert all(tensor.isfinite().all() for tensor in last.values())


def test_result_is_plain_json_in_every_precision(tmp_path: Path) -> None:
    for precision in FORMATS:
        pretrain(
            tiny_run(tmp_path, "gpt", f"trainer.precision={precision}", "trainer.max_steps=1"), tmp_path / precision
        )
        json.loads((tmp_path / precision / "result.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
