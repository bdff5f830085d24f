"""Which columns make which chart."""

from pathlib import Path

import numpy as np

from tests.report.made_up import made_up_run
from zoo.report.curves import QUANTITIES, by_position_chart, loss_charts, other_charts, panel, quantity_charts
from zoo.report.folder import Log, Positions, Run, read_run


def with_columns(run: Run, **columns: list[float]) -> Run:
    log = {**run.log.columns, **{name: np.array(values, dtype=float) for name, values in columns.items()}}
    return run._replace(log=Log(log, 0))


def test_one_objective_has_one_chart_with_the_entropy(tmp_path: Path) -> None:
    (chart,) = loss_charts(read_run(made_up_run(tmp_path / "gpt")))
    assert [len(curve.y) for curve in chart.series] == [200, 10]
    assert chart.lines == [(3.1, "entropy of single tokens 3.100")]


def test_several_objectives_have_a_chart_each(tmp_path: Path) -> None:
    run = read_run(made_up_run(tmp_path / "bert"))
    objectives = {"masked_lm": {"kind": "masked_lm", "weight": 0.5}, "next_sentence": {"kind": "next_sentence"}}
    losses = run.log.columns["train/loss"]
    run = with_columns(
        run._replace(config={**run.config, "objectives": objectives}),
        **{"train/masked_lm/loss": losses, "train/next_sentence/loss": losses},
    )
    charts = loss_charts(run)
    assert [chart.title for chart in charts] == ["Loss", "Loss of masked lm", "Loss of next sentence"]
    assert [bool(chart.lines) for chart in charts] == [False, True, False], "only tokens have the entropy of tokens"
    assert charts[0].unit == "weighted sum"


def test_unknown_objective_has_no_line(tmp_path: Path) -> None:
    run = read_run(made_up_run(tmp_path / "gpt"))
    (chart,) = loss_charts(run._replace(config={**run.config, "objectives": {"causal_lm": {"kind": "my_own"}}}))
    assert not chart.lines


def test_everything_that_was_logged_is_shown(tmp_path: Path) -> None:
    """A column that nobody here knows has a chart too, or is named."""
    run = read_run(made_up_run(tmp_path / "gpt"))
    ones = [1.0] * 200
    run = with_columns(run, **{f"memory/{number}": ones for number in range(30)}, empty=[np.nan] * 200)
    charts, left_out = other_charts(run)
    titles = [curve.label for chart in charts for curve in chart.series]
    assert "validation/causal_lm/accuracy" in titles
    assert {f"memory/{number}" for number in range(30)} <= {*titles, *left_out}
    assert "empty" not in {*titles, *left_out}
    assert not {"train/loss", "learning_rate", "train/causal_lm/targets"} & {*titles, *left_out}


def test_quantities(tmp_path: Path) -> None:
    run = read_run(made_up_run(tmp_path / "gpt"))
    assert [chart.draw() is not None for chart in quantity_charts(run)] == [True] * 4 + [False] * (len(QUANTITIES) - 4)
    more = ("utilization/process", "utilization/device", "memory/process", "memory/device", "memory/system")
    busy = with_columns(run, **{name: [0.5] * 200 for name in more})
    assert all(chart.draw() is not None for chart in quantity_charts(busy))
    bare = run._replace(log=Log({name: run.log.columns[name] for name in ("step", "tokens", "seconds")}, 0))
    assert [chart.draw() for chart in quantity_charts(bare)] == [None] * len(QUANTITIES)


def test_loss_by_position(tmp_path: Path) -> None:
    run = read_run(made_up_run(tmp_path / "gpt"))
    assert by_position_chart(run) is None
    newest = Positions(10, {"lm": (np.array([1.0, 3.0]), np.array([3.0, 2.0]))})
    chart = by_position_chart(run._replace(by_position=[newest]))
    assert chart.series[0].x["position"].tolist() == [1, 3]
    assert chart.draw() is not None


def test_switches_choose_one_of_each_group() -> None:
    switches = list(panel([]).iter("input"))
    assert [node.get("id") for node in switches if node.get("checked")] == ["against-steps", "scale-linear"]
    labels = {node.get("for") for node in panel([]).iter("label")}
    assert labels == {node.get("id") for node in switches}
