"""The validation loss: one number over the whole held-out split."""

import json
import math
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.training.tiny import DROPOUT, FULL, KINDS, same, tiny_run
from zoo.batch import IGNORE_INDEX
from zoo.errors import CheckpointError
from zoo.models import Model
from zoo.objectives.mixture import Part
from zoo.tokenizer.tokenizer import Tokenizer
from zoo.training.evaluation import Bin, Evaluation, evaluate, forget_evaluations, write_evaluation
from zoo.training.measures import measure_names
from zoo.training.metrics_file import read_metrics
from zoo.training.run import Prepared, prepare, pretrain


def prepared_double(tmp_path: Path, kind: str) -> Prepared:
    prepared = prepare(tiny_run(tmp_path, kind, *DROPOUT), progress=False)
    prepared.module.model.double()
    return prepared


@pytest.mark.parametrize("kind", KINDS)
def test_number_is_that_of_all_rows_at_once(kind: str, tmp_path: Path) -> None:
    """Against loss and accuracy by hand from full logits; no batch size changes it, though the last is smaller."""
    prepared = prepared_double(tmp_path, kind)
    assert prepared.validation is not None
    expected = by_hand(prepared)
    for size in (1, 3, 8, 1000):
        found = evaluate(prepared.module, prepared.validation, size)
        assert found.means == pytest.approx(expected.means, rel=1e-12)
        assert found.by_position.keys() == expected.by_position.keys()
        for name, bins in found.by_position.items():
            assert [each.loss for each in bins] == pytest.approx([each.loss for each in expected.by_position[name]])
            assert [each[:2] + each[3:] for each in bins] == [e[:2] + e[3:] for e in expected.by_position[name]]


@torch.no_grad()
def by_hand(prepared: Prepared) -> Evaluation:
    """Target by target, from all logits of one row at a time."""
    model, config = prepared.module.model.eval(), prepared.config
    tokenizer, means, curves = prepared.corpus.tokenizer, {"loss": 0.0}, {}
    assert prepared.validation is not None
    for group in prepared.validation.groups:
        parts = [group.collate(*(torch.tensor([n]).numpy() for n in (0, row))) for row in range(group.num_rows)]
        for name in group.names:
            targets = [
                target for part in parts for target in targets_of(model, part, name, config.objectives[name].head)
            ]
            loss = sum(target.loss for target in targets)
            means[f"{name}/loss"] = loss / len(targets)
            means[f"{name}/accuracy"] = sum(target.correct for target in targets) / len(targets)
            means["loss"] += config.objectives[name].weight * loss / len(targets)
            if config.objectives[name].kind == "span_corruption":
                means[f"{name}/exact_match"] = exact_matches(targets, tokenizer)
            if config.objectives[name].head == "language_model":
                special = set(tokenizer.special_ids.tolist()) - {tokenizer.roles.get("unknown")}
                num_bytes = sum(target.label not in special for target in targets) * group.bytes_per_token
                means[f"{name}/perplexity"] = math.exp(loss / len(targets))
                means[f"{name}/bits_per_byte"] = loss / math.log(2) / num_bytes
                objective = prepared.module.objectives[name]
                curves[name] = curve(targets, objective.decoder_width or config.model.max_length)
    return Evaluation(means, curves)


class Target(NamedTuple):
    """One scored place."""

    label: int
    loss: float
    correct: bool
    position: int


def targets_of(model: Model, part: Part, name: str, head: str) -> list[Target]:
    logits = model.heads[head](model.backbone(**part.batch.inputs)).flatten(0, -2)
    inputs, labels = part.batch.inputs, part.batch.labels[name]
    side = "decoder_" if "decoder_tokens" in inputs else ""
    counted = torch.arange(labels.shape[-1]).expand_as(labels)
    positions = inputs.get(f"{side}positions", counted) if labels.ndim == 2 else counted
    return [
        Target(label, float(functional.cross_entropy(row, torch.tensor(label))), int(row.argmax()) == label, position)
        for row, label, position in zip(logits, labels.flatten().tolist(), positions.flatten().tolist(), strict=True)
        if label != IGNORE_INDEX
    ]


def exact_matches(targets: list[Target], tokenizer: Tokenizer) -> float:
    """Walks over the targets and keeps a book of the span that is open."""
    right: list[bool] = []
    is_open = False
    for target in targets:
        if is_open:
            right[-1] &= target.correct
        if target.label in tokenizer.sentinels:
            right.append(True)
            is_open = True
        elif target.label == tokenizer.role("end"):
            is_open = False
    return sum(right) / len(right)


def curve(targets: list[Target], length: int) -> list[Bin]:
    width = math.ceil(length / 32)
    bins = []
    for start in range(0, length, width):
        inside = [target.loss for target in targets if start <= target.position < start + width]
        if inside:
            bins.append(Bin(start, min(start + width, length), sum(inside) / len(inside), len(inside)))
    return bins


@pytest.mark.parametrize("kind", ["bert", "shares"])
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_change_nothing(kind: str, ranks: int, tmp_path: Path) -> None:
    prepared = prepared_double(tmp_path, kind)
    assert prepared.validation is not None
    alone = evaluate(prepared.module, prepared.validation, 5)
    sums: list[Tensor] = []
    for rank in range(ranks):
        evaluate(
            prepared.module,
            prepared.validation,
            5,
            reduce=lambda tensor: sums.append(tensor) or tensor,  # type: ignore[func-returns-value]
            rank=rank,
            num_ranks=ranks,
        )
    total = torch.stack(sums).sum(0)
    together = evaluate(prepared.module, prepared.validation, 5, reduce=lambda tensor: total)
    assert together.means == pytest.approx(alone.means, rel=1e-12)
    assert [each.count for each in together.by_position["masked_lm"]] == [
        each.count for each in alone.by_position["masked_lm"]
    ]


def test_leaves_no_trace(tmp_path: Path) -> None:
    prepared = prepared_double(tmp_path, "bert")
    module = prepared.module
    assert prepared.validation is not None
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    stream = torch.get_rng_state()
    for training in (True, False):
        module.train(training)
        first = evaluate(module, prepared.validation, 4)
        assert first == evaluate(module, prepared.validation, 4)  # no dropout
        assert all(each.training == training for each in module.modules())
    assert torch.equal(torch.get_rng_state(), stream)
    assert same(dict(module.state_dict()), before)
    assert all(parameter.grad is None for parameter in module.parameters())


def test_noise_is_fixed_so_that_seeds_compare(tmp_path: Path) -> None:
    one, two = (prepare(tiny_run(tmp_path, "bert", f"seed={seed}"), progress=False) for seed in (0, 1))
    assert one.validation is not None
    assert two.validation is not None
    rows = [each.validation.groups[0] for each in (one, two) if each.validation is not None]
    numbers = torch.arange(rows[0].num_rows).numpy()
    first, second = (group.collate(0 * numbers, numbers).batch for group in rows)
    assert same(first.inputs, second.inputs)
    assert same(first.labels, second.labels)


@pytest.mark.parametrize("kind", ["gpt", "t5"])
def test_number_does_not_depend_on_being_run_in_the_middle(kind: str, tmp_path: Path) -> None:
    settings = (*DROPOUT, "trainer.precision=64-true", "trainer.log_every=100")
    late = pretrain(tiny_run(tmp_path, kind, *settings), tmp_path / "late")
    often = pretrain(
        tiny_run(tmp_path, kind, *settings, "trainer.validate_every=1", "trainer.validation_batch_size=3"),
        tmp_path / "often",
    )
    assert often.metrics["validation/loss"] == pytest.approx(late.metrics["validation/loss"], rel=1e-12)
    assert len([row for row in read_metrics(often.folder / "metrics.csv") if row["validation/loss"]]) == 4


def test_precision_is_that_of_the_run(tmp_path: Path) -> None:
    prepared = prepare(tiny_run(tmp_path, "gpt"), progress=False)
    assert prepared.validation is not None
    exact = evaluate(prepared.module, prepared.validation, 8).means["loss"]
    rough = evaluate(prepared.module, prepared.validation, 8, precision=lambda: torch.autocast("cpu", torch.bfloat16))
    assert 0 < abs(rough.means["loss"] - exact) < 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_those_of_the_log(kind: str, tmp_path: Path) -> None:
    prepared = prepared_double(tmp_path, kind)
    assert prepared.validation is not None
    means = evaluate(prepared.module, prepared.validation, 8).means
    assert sorted(means) == sorted(measure_names(prepared.config.objectives))


def test_files_of_validations(tmp_path: Path) -> None:
    """What is not finite is null; what comes after the step that a run goes on from is forgotten."""
    evaluation = Evaluation({"loss": 2.5, "a/perplexity": math.inf}, {"a": [Bin(0, 4, 2.5, 7)]})
    for step in (2, 4, 10):
        write_evaluation(tmp_path, step, evaluation)
    content = json.loads((tmp_path / "evaluation" / "step-4.json").read_text(encoding="utf-8"))
    assert content == {
        "step": 4,
        "means": {"loss": 2.5, "a/perplexity": None},
        "by_position": {"a": [{"start": 0, "stop": 4, "loss": 2.5, "count": 7}]},
    }
    forget_evaluations(tmp_path, 4)
    if FULL.exists():
        (tmp_path / "evaluation" / ".step-6.json.tmp").symlink_to(FULL)
        with pytest.raises(CheckpointError, match=r"cannot write .*step-6.json: No space left .*free some space"):
            write_evaluation(tmp_path, 6, evaluation)
    assert sorted(path.name for path in (tmp_path / "evaluation").iterdir()) == ["step-2.json", "step-4.json"]


@pytest.mark.parametrize("kind", ["bert", "gpt", "t5"])
def test_bits_per_byte_are_of_the_text(kind: str, tmp_path: Path) -> None:
    """With one token a byte: bits of all targets over those of them that are text."""
    prepared = prepared_double(tmp_path, kind)
    assert prepared.validation is not None
    (group,) = prepared.validation.groups
    assert group.bytes_per_token == 1
    name = group.names[0]
    part = group.collate(*(torch.arange(group.num_rows).numpy() * factor for factor in (0, 1)))
    labels = part.batch.labels[name].flatten()
    scored = labels[labels != IGNORE_INDEX]
    num_text = int((~torch.isin(scored, torch.from_numpy(prepared.corpus.tokenizer.special_ids))).sum())
    means = evaluate(prepared.module, prepared.validation, 8).means
    bits = means[f"{name}/loss"] * len(scored) / math.log(2)
    assert means[f"{name}/bits_per_byte"] == pytest.approx(bits / num_text)
    assert (num_text < len(scored)) == (kind != "bert")  # ends and sentinels have a price, and are no text
