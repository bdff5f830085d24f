"""The validation loss: one number over the whole held-out split."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.training.tiny import DROPOUT, KINDS, same, tiny_run
from zoo.batch import IGNORE_INDEX
from zoo.training.evaluation import evaluate, metric_names
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
        assert found == pytest.approx(expected, rel=1e-12)


@torch.no_grad()
def by_hand(prepared: Prepared) -> dict[str, float]:
    model, config = prepared.module.model.eval(), prepared.config
    found = {"loss": 0.0}
    assert prepared.validation is not None
    for group in prepared.validation.groups:
        parts = [group.collate(*(torch.tensor([n]).numpy() for n in (0, row))) for row in range(group.num_rows)]
        for name in group.names:
            loss = correct = count = 0.0
            for part in parts:
                logits = model.heads[config.objectives[name].head](model.backbone(**part.batch.inputs))
                scored = part.batch.labels[name] != IGNORE_INDEX
                labels = part.batch.labels[name][scored]
                loss += float(functional.cross_entropy(logits[scored], labels, reduction="sum"))
                correct += int((logits[scored].argmax(-1) == labels).sum())
                count += len(labels)
            found |= {f"{name}/loss": loss / count, f"{name}/accuracy": correct / count}
            found["loss"] += config.objectives[name].weight * loss / count
    return found


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
    assert together == pytest.approx(alone, rel=1e-12)


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
    exact = evaluate(prepared.module, prepared.validation, 8)["loss"]
    rough = evaluate(prepared.module, prepared.validation, 8, precision=lambda: torch.autocast("cpu", torch.bfloat16))[
        "loss"
    ]
    assert 0 < abs(rough - exact) < 1e-2


def test_names(tmp_path: Path) -> None:
    module = prepare(tiny_run(tmp_path, "bert"), progress=False).module
    expected = [f"{o}/{m}" for o in ("masked_lm", "next_sentence") for m in ("loss", "count", "accuracy")]
    assert list(metric_names(module)) == expected
