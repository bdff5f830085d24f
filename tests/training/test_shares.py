"""Several sources in a run: announced, counted, logged, and the same after a stop."""

from pathlib import Path

import pytest
import torch

from tests.training.tiny import rows_without_clocks, same, tiny_run, weights, write_text
from zoo.data.blend import Blend
from zoo.data.plan import Plan
from zoo.errors import ConfigError, DataError
from zoo.training.datamodule import Step, StepDataset, evaluation_parts
from zoo.training.metrics_file import read_metrics
from zoo.training.run import prepare, pretrain
from zoo.training.samples import read_samples
from zoo.training.shares import COLUMN, SourceTokens, source_lines


def mixture(folder: Path) -> list[str]:
    """Settings of a run over a small source and one ten times as large, three to one."""
    small, large = write_text(folder / "small.txt", 1, 40), write_text(folder / "large.txt", 2, 400)
    text = "kind: text, document: blank_line"
    return [
        f"data.source={{kind: mixture, sources: {{small: {{{text}, path: {small}, share: 3}}, "
        f"large: {{{text}, path: {large}, share: 1}}}}}}"
    ]


@pytest.mark.parametrize("kind", ["bert", "t5", "shares"])
def test_a_run_logs_the_shares_that_it_was_asked_for(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture) -> None:
    result = pretrain(tiny_run(tmp_path, kind, *mixture(tmp_path), "trainer.max_steps=12"), tmp_path / "run")
    said = capfd.readouterr().err
    assert "small: 75 % of the tokens, 32 documents, 8 documents held out, " in said
    assert "large: 25 % of the tokens, 320 documents, 80 documents held out, " in said
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    assert len(rows) == 12
    assert float(rows[-1][f"{COLUMN}small"]) == pytest.approx(0.75, abs=0.06)
    for row in rows:
        assert float(row[f"{COLUMN}small"]) + float(row[f"{COLUMN}large"]) == pytest.approx(1)
    assert result.metrics[f"{COLUMN}large"] == pytest.approx(float(rows[-1][f"{COLUMN}large"]), abs=1e-5)


def test_a_stopped_run_over_sources_goes_on_bit_for_bit(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    settings = [*mixture(tmp_path), "trainer.save_every=3", "trainer.log_every=2"]
    whole = tiny_run(tmp_path / "one", "gpt", *settings, "trainer.max_steps=8")
    pretrain(whole, tmp_path / "whole")
    pretrain(whole, tmp_path / "cut")
    for path in (tmp_path / "cut" / "result.json", *(tmp_path / "cut" / "checkpoints").glob("step-8/manifest.json")):
        path.unlink()
    with pytest.warns(UserWarning, match="step-8"):
        pretrain(whole, tmp_path / "cut")
    assert same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))
    assert rows_without_clocks(tmp_path / "cut") == rows_without_clocks(tmp_path / "whole")


def test_another_share_is_another_run(tmp_path: Path) -> None:
    settings = mixture(tmp_path)
    pretrain(tiny_run(tmp_path, "gpt", *settings), tmp_path / "run")
    with pytest.raises(Exception, match=r"data\.source\.sources\.small\.share"):
        pretrain(tiny_run(tmp_path, "gpt", *settings, "data.source.sources.small.share=2"), tmp_path / "run")


def test_ranks_and_microbatches_share_out_the_same_rows(tmp_path: Path) -> None:
    config = tiny_run(tmp_path, "bert", *mixture(tmp_path))
    rows = prepare(config).training
    plan = Plan(rows.num_rows, 8, 0, shuffle=rows.shuffled)
    whole = StepDataset(rows, plan, 1, 0, 1)[3]
    parts = [StepDataset(rows, plan, 2, rank, 2)[3] for rank in (0, 1)]
    assert sum(whole.source_tokens) == whole.num_tokens == sum(part.num_tokens for part in parts)
    assert whole.source_tokens == tuple(map(sum, zip(*(part.source_tokens for part in parts), strict=True)))
    batches = [part.batch for step in parts for microbatch in step.microbatches for part in microbatch]
    (joint,) = whole.microbatches[0]
    for name, label in joint.batch.labels.items():
        assert torch.equal(label, torch.cat([batch.labels[name] for batch in batches]))


def test_tokens_are_added_up_over_ranks_and_kept() -> None:
    counter = SourceTokens()
    counter.begin(("a", "b"))
    counter.count(Step([], 40, (30, 10)))
    counter.count(Step([], 20, (10, 10)))
    counter.settle(lambda local: 2 * local, torch.device("cpu"))
    assert counter.row() == {f"{COLUMN}a": 2 / 3, f"{COLUMN}b": 1 / 3}
    again = SourceTokens()
    again.state = counter.state
    again.begin(("a", "b"))
    assert again.row() == counter.row()
    with pytest.raises(DataError, match="counts 2 sources, the run has 0"):
        again.begin(())


def test_one_source_needs_no_counting() -> None:
    counter = SourceTokens()
    counter.begin(())
    counter.count(Step([], 40))
    counter.settle(lambda local: pytest.fail("nothing to add up"), torch.device("cpu"))
    assert counter.row() == {}
    assert counter.state == []


def test_how_often_a_source_is_gone_through(tmp_path: Path) -> None:
    prepared = prepare(tiny_run(tmp_path, "gpt", *mixture(tmp_path)))
    assert isinstance(prepared.corpus.training, Blend)
    few, many, unknown = (
        list(source_lines(*prepared.corpus[1:3], prepared.training, rows)) for rows in (4, 40_000, None)
    )
    assert few[0].endswith("% of it read")
    assert many[1].startswith("  large: 25 % of the tokens, 320 documents, 80 documents held out, gone through ")
    assert unknown[1].endswith(" rows of the run")


@pytest.mark.parametrize(
    "budget, rows",
    [
        (["trainer.max_steps=5"], 40),
        (["trainer.max_steps=null", "trainer.max_tokens=800", "schedule.kind=constant"], 80),
    ],
)
def test_how_many_rows_a_run_has(tmp_path: Path, budget: list[str], rows: int) -> None:
    assert tiny_run(tmp_path, "gpt", *budget).trainer.rows_of_run(10.0) == rows


def test_nobody_knows_how_many_rows_a_run_by_the_clock_has(tmp_path: Path) -> None:
    hours = ["trainer.max_steps=null", "trainer.max_hours=1", "schedule.kind=constant"]
    assert tiny_run(tmp_path, "gpt", *hours).trainer.rows_of_run(10.0) is None


def test_losses_are_told_apart_by_source_and_samples_are_of_each(tmp_path: Path) -> None:
    settings = [*mixture(tmp_path), "best.metric=validation/masked_lm/loss/large", "best.keep=1"]
    result = pretrain(tiny_run(tmp_path, "bert", *settings), tmp_path / "run")
    prepared = prepare(tiny_run(tmp_path, "bert", *settings), progress=False)
    assert prepared.validation is not None
    metrics = result.metrics
    for name in ("masked_lm", "next_sentence"):
        apart = [metrics[f"validation/{name}/loss/{source}"] for source in ("small", "large")]
        assert min(apart) < metrics[f"validation/{name}/loss"] < max(apart)
    # a source's loss is that of its rows alone, and all of them together make up the whole
    groups = prepared.validation.groups
    counts = [
        sum(int((part.batch.labels["masked_lm"] >= 0).sum()) for part in evaluation_parts(group, 8)) for group in groups
    ]
    total = sum(
        count * metrics[f"validation/masked_lm/loss/{group.source}"]
        for count, group in zip(counts, groups, strict=True)
    )
    assert metrics["validation/masked_lm/loss"] == pytest.approx(total / sum(counts), rel=1e-6)
    assert len(read_samples(tmp_path / "run" / "samples.jsonl")) == 4  # two of each source
    with pytest.raises(ConfigError, match=r"best\.metric: unknown metric 'validation/masked_lm/loss/huge'"):
        tiny_run(tmp_path, "bert", *settings, "best.metric=validation/masked_lm/loss/huge")
