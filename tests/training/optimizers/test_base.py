"""The contract of every registered optimizer: what it changes, what it leaves, and that it goes on where it was."""

import dataclasses
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.source_tree import ROOT
from tests.training.optimizers.models import after_steps, model, projection, train
from tests.training.tiny import DROPOUT, moments, same, tiny_run, weights, write_config
from zoo.checkpoint.tensors import load_tree, save_tree
from zoo.errors import ConfigError
from zoo.models.flops import RowShape
from zoo.nn.linear import Linear
from zoo.training.conductor import Conductor
from zoo.training.memory import Load, step_memory
from zoo.training.metrics_file import read_metrics
from zoo.training.optimizers import AdamWConfig, OptimizerConfig, PartConfig
from zoo.training.optimizers.rule import shown_weights
from zoo.training.run import prepare, pretrain
from zoo.training.shipped import load_run

KINDS = sorted(OptimizerConfig.choices)
DTYPES = [torch.float64, torch.float32, torch.bfloat16]


def config_of(kind: str, **fields: Any) -> OptimizerConfig:
    """The optimizer with a decay, at a rate that moves something."""
    made: OptimizerConfig = OptimizerConfig.choice(kind)(**{"learning_rate": 0.02, "weight_decay": 0.1, **fields})
    return made


def named(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


# --------------------------------------------------------------------------------------------------------------- a step


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_one_step_changes_every_trained_parameter(kind: str, dtype: torch.dtype) -> None:
    made = model("bert-nano").to(dtype)
    frozen = made.backbone.tokens.weight
    frozen.requires_grad = False
    before = named(made)
    after = after_steps(config_of(kind), made, 1)
    for place, weight in after.items():
        assert weight.dtype == dtype
        assert weight.isfinite().all(), place
        assert torch.equal(weight, before[place]) == (made.get_parameter(place) is frozen), place


@pytest.mark.parametrize("kind", KINDS)
def test_lowers_a_loss(kind: str) -> None:
    layer = projection(4, 4)
    optimizer = config_of(kind, learning_rate=0.05, weight_decay=0.0).build(layer)
    inputs = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(40):
        loss = (layer(inputs) - inputs).square().mean()
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_without_a_gradient_stay(kind: str) -> None:
    made = model()
    optimizer = config_of(kind).build(made)
    before = named(made)
    for parameter in made.parameters():
        parameter.grad = torch.ones_like(parameter)
    skipped = made.backbone.tokens.weight
    skipped.grad = None
    optimizer.step()
    assert all(
        torch.equal(parameter, before[name]) == (parameter is skipped) for name, parameter in made.named_parameters()
    )


@pytest.mark.parametrize("kind", KINDS)
def test_memory_is_told_without_data(kind: str) -> None:
    """`zoo describe` runs a step on tensors without data; the bytes of the state are those of a step with data."""
    made = model()
    config = config_of(kind)
    optimizer = config.build(made)
    train(made, optimizer, 0, 1)
    kept = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    told = step_memory(made.config, config, Load(rows=2, row=RowShape(8, 0, 8)))
    assert told.optimizer == sum(tensor.nbytes for tensor in kept)


# --------------------------------------------------------------------------------------------------- decays and factors


@pytest.mark.parametrize("kind", KINDS)
def test_only_projections_decay(kind: str) -> None:
    """Not norms, biases or tables."""
    made = model("bert-nano")
    matrices = {id(module.weight) for module in made.modules() if isinstance(module, Linear)}
    decaying = {name for name, parameter in made.named_parameters() if id(parameter) in matrices}
    plain = after_steps(config_of(kind, weight_decay=0.0), model("bert-nano"), 1)
    decayed = after_steps(config_of(kind, weight_decay=0.5), model("bert-nano"), 1)
    assert {name for name in plain if not torch.equal(plain[name], decayed[name])} == decaying


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_acts_on_its_parameters_only(kind: str) -> None:
    plain = after_steps(config_of(kind), model(), 2)
    for change in ({"rate": 0.5}, {"weight_decay": 0.7}):
        parts = {
            "top": PartConfig(match=("backbone.stack.norm.*", "*.blocks.1.*"), **change),
            "first": PartConfig(match=("*.blocks.0.*",), rate=2.0),
        }
        found = after_steps(config_of(kind, parts=parts), model(), 2)
        changed = {name for name in plain if not torch.equal(plain[name], found[name])}
        assert changed == {name for name in plain if ".blocks." in name or name.startswith("backbone.stack.norm.")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_scales_every_group(kind: str) -> None:
    """At a rate of zero nothing moves, whatever an optimizer keeps beside its groups."""
    made = model()
    optimizer = config_of(kind).build(made)
    for group in optimizer.param_groups:
        assert group["lr"] == pytest.approx(0.02 * group["rate_factor"])
        group["lr"] = 0.0
    before = named(made)
    train(made, optimizer, 0, 2)
    assert same(before, named(made))


@pytest.mark.parametrize("kind", KINDS)
def test_rates_by_width_are_for_adam(kind: str, tmp_path: Path) -> None:
    mup = ("attention.scale=inverse", "heads.language_model.tied=false", "initialization={kind: mup, base_dim: 8}")
    settings = [f"model.{setting}" for setting in mup]
    optimizer = [f"optimizer={{kind: {kind}, learning_rate: 0.01}}", "schedule={kind: constant}"]
    if OptimizerConfig.choice(kind).family == "Adam":
        tiny_run(tmp_path, "gpt", *settings, *optimizer)
        return
    with pytest.raises(ConfigError, match=rf"^optimizer\.kind: {kind!r} does not go with .*mup.* use one of adamw"):
        tiny_run(tmp_path, "gpt", *settings, *optimizer)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if OptimizerConfig.choice(kind).family])
def test_rates_by_width_act(kind: str) -> None:
    """At twice the base width the first step of a matrix is half as long, that of everything else as long."""
    found = []
    for base in (16, 32):
        mup = {"kind": "mup", "base_dim": base}
        made = model(dim=32, attention={"scale": "inverse"}, initialization=mup)
        before = named(made)
        after = after_steps(config_of(kind, weight_decay=0.0), made, 1, made.config.initialization)
        found.append({name: float((after[name] - before[name]).norm()) for name in after})
    matrices = {name for name, parameter in model(dim=32).named_parameters() if parameter.ndim == 2}
    matrices -= {name for name in matrices if ".embedding." in name or ".schemes." in name}
    for name, length in found[0].items():
        assert length == pytest.approx(found[1][name] * (0.5 if name in matrices else 1.0), rel=1e-3), name


# ----------------------------------------------------------------------------------------------------- every field acts


def variations(config: OptimizerConfig) -> Iterator[tuple[str, list[Any]]]:
    """Other values of each field, of which one at least must be legal and act."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, kind = getattr(config, field.name), hints[field.name]
        if field.name == "parts":
            yield field.name, [{"head": PartConfig(match=("heads.*",), rate=0.5)}]
        elif isinstance(value, bool):
            yield field.name, [not value]
        elif typing.get_origin(kind) is typing.Literal:
            yield field.name, [other for other in typing.get_args(kind) if other != value]
        elif isinstance(value, int):
            yield field.name, [1, value + 1]
        else:
            yield field.name, [0.5, 0.01] if value is None else [value / 2, (1 + value) / 2, 0.01]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_acts(kind: str) -> None:
    plain = after_steps(config_of(kind), model().double(), 3)
    for name, values in variations(config_of(kind)):
        legal = [changed for value in values if (changed := legal_config(kind, name, value)) is not None]
        assert any(not same(plain, after_steps(changed, model().double(), 3)) for changed in legal), name


def legal_config(kind: str, name: str, value: Any) -> OptimizerConfig | None:
    """The optimizer with one field changed; None where that is refused."""
    try:
        return config_of(kind, **{name: value})
    except ConfigError:
        return None


# ------------------------------------------------------------------------------------------------- it goes on as it was


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_goes_on_bit_for_bit(kind: str, dtype: torch.dtype, tmp_path: Path) -> None:
    """Three steps, saved and restored as a run does it, and three more: as six in a row."""
    parts = {"head": PartConfig(match=("heads.*",), rate=0.5, weight_decay=0.2)}
    config = config_of(kind, parts=parts)
    unbroken = after_steps(config, model().to(dtype), 6)
    first = model().to(dtype)
    optimizer = config.build(first)
    train(first, optimizer, 0, 3)
    with shown_weights(optimizer):
        save_tree({"optimizer": optimizer.state_dict(), "model": first.state_dict()}, tmp_path, "state")
    saved = load_tree(tmp_path, "state")
    second = model().to(dtype)
    second.load_state_dict(saved["model"])
    optimizer = config.build(second)
    optimizer.load_state_dict(saved["optimizer"])
    train(second, optimizer, 3, 6)
    with shown_weights(optimizer):
        assert same(named(second), unbroken)


class Broken(Exception):  # noqa: N818  (a stand-in for any end of a process)
    """The end of a process in the middle of a run."""


@pytest.mark.parametrize("kind", KINDS)
def test_run_that_broke_off_ends_as_one_that_did_not(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (f"optimizer={{kind: {kind}}}", "schedule={kind: constant, warmup_steps: 2}", "trainer.max_steps=5")
    config = tiny_run(tmp_path, "bert", *DROPOUT, *settings, "trainer.save_every=2")
    pretrain(config, tmp_path / "unbroken")
    write = Conductor._write

    def end(conductor: Conductor, step: int, row: dict[str, float]) -> None:
        if step == 4:
            raise Broken
        write(conductor, step, row)

    monkeypatch.setattr(Conductor, "_write", end)
    with pytest.raises(Broken):
        pretrain(config, tmp_path / "run")
    monkeypatch.setattr(Conductor, "_write", write)
    pretrain(config, tmp_path / "run")
    assert same(weights(tmp_path / "run"), weights(tmp_path / "unbroken"))
    assert same(moments(tmp_path / "run"), moments(tmp_path / "unbroken"))
    losses = [
        [row["train/loss"] for row in read_metrics(tmp_path / run / "metrics.csv")] for run in ("run", "unbroken")
    ]
    assert losses[0] == losses[1]


def test_page_tells_of_each() -> None:
    """docs/optimizers.md has a row for every kind, with its default rate."""
    page = (ROOT / "docs" / "optimizers.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in page.splitlines() if line.startswith("| `")]
    assert {kind.strip("`"): float(rate) for kind, _, rate in rows} == {
        kind: choice().learning_rate for kind, choice in OptimizerConfig.choices.items()
    }


def test_page_has_legal_settings(tmp_path: Path) -> None:
    """Its YAML loads into a run, and its patterns match."""
    page = (ROOT / "docs" / "optimizers.md").read_text(encoding="utf-8")
    yaml = page.split("```yaml")[1].split("```")[0]
    path = write_config(tmp_path, "bert")
    text = re.sub(r"^optimizer:.*\n", yaml.lstrip(), path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")
    config = load_run(path, []).config
    assert set(config.optimizer.parts) == {"head", "tables"}
    prepare(config, progress=False)


def test_memories_of_the_moments_must_fit() -> None:
    with pytest.raises(ConfigError, match=r"beta1: 0.99 must not exceed beta2=0.9"):
        AdamWConfig(beta1=0.99, beta2=0.9)
