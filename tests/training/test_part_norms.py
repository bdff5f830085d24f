"""Norms of gradient and update, part by part."""

from pathlib import Path

import pytest
import torch

from tests.training.tiny import DROPOUT, KINDS, newest, same, tiny_run, weights
from zoo.checkpoint.tensors import load_tensors
from zoo.training.metrics_file import read_metrics
from zoo.training.part_norms import PartNorms, norm_columns, part_of, parts_of
from zoo.training.run import prepare, pretrain


@pytest.mark.parametrize(
    "name, part",
    [
        ("backbone.tokens.weight", "tokens"),
        ("backbone.stack.blocks.3.feed_forward.sublayer.input.weight", "stack.blocks.3"),
        ("backbone.stack.blocks.12.self_attention.sublayer.output.bias", "stack.blocks.12"),
        ("backbone.decoder.blocks.0.cross_attention.before.weight", "decoder.blocks.0"),
        ("backbone.stack.norm.weight", "stack.norm"),
        ("heads.language_model.norm.weight", "heads.language_model"),
    ],
)
def test_parts(name: str, part: str) -> None:
    assert part_of(name) == part


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_a_partition(kind: str, tmp_path: Path) -> None:
    model = prepare(tiny_run(tmp_path, kind), progress=False).module.model
    everything = [each for parameters in parts_of(model).values() for each in parameters]
    assert len(everything) == len(set(everything)) == len([p for p in model.parameters() if p.requires_grad])
    assert len(norm_columns(model)) == 2 * len(parts_of(model))


def test_norms_are_of_what_happens_inside() -> None:
    model = torch.nn.ModuleDict({"one": torch.nn.Linear(3, 2), "two": torch.nn.Linear(2, 1, bias=False)})
    for number, parameter in enumerate(model.parameters(), start=1):
        parameter.grad = torch.full_like(parameter, number)
    with (norms := PartNorms(model)), torch.no_grad():
        model["one"].weight += 0.5
        model["one"].weight.grad *= 100  # clipping comes after
    expected = {
        "gradient_norm/one": (6 * 1 + 2 * 4) ** 0.5,
        "gradient_norm/two": (2 * 9) ** 0.5,
        "update_norm/one": (6 * 0.25) ** 0.5,
        "update_norm/two": 0.0,
    }
    assert norms.row == pytest.approx(expected)
    assert list(norms.row) == norm_columns(model)


def test_log_of_a_run_has_them_and_the_run_is_the_same(tmp_path: Path) -> None:
    """Against the weights before and after a step; the parts' gradients make up the whole gradient."""
    settings = (*DROPOUT, "trainer.save_every=1", "trainer.keep=9", "trainer.log_every=2")
    plain = pretrain(tiny_run(tmp_path, "bert", *settings), tmp_path / "plain").folder
    run = pretrain(tiny_run(tmp_path, "bert", *settings, "logging.norms=true"), tmp_path / "run").folder
    assert same(weights(run), weights(plain))
    rows = {int(row["step"]): row for row in read_metrics(run / "metrics.csv")}
    assert sorted(rows) == [1, 2, 4]
    before, after = (load_tensors(newest(run).with_name(f"step-{n}") / "model" / "model.safetensors") for n in (3, 4))
    parts: dict[str, float] = {}
    for name in before:
        change = float((after[name] - before[name]).square().sum())
        parts[part_of(name)] = parts.get(part_of(name), 0.0) + change
    for part, square in parts.items():
        assert float(rows[4][f"update_norm/{part}"]) == pytest.approx(square**0.5, rel=1e-4)
        total = sum(float(rows[4][f"gradient_norm/{each}"]) ** 2 for each in parts) ** 0.5
    assert total == pytest.approx(float(rows[4]["gradient_norm"]), rel=1e-4)
