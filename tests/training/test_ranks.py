"""Two ranks are one run: the same weights as on one, one folder, one log, one tokenizer, one exit status.

Lightning starts the second rank by running the first one's command again, be it a script or `python -m zoo`.
"""

import os
import signal
from pathlib import Path

import pytest

from tests.training.processes import Command, wait_until_it_trains
from tests.training.tiny import (
    DROPOUT,
    KINDS,
    counters,
    distance,
    moments,
    rows_without_clocks,
    same,
    tiny_run,
    weights,
    write_config,
)
from zoo.training.metrics_file import read_metrics
from zoo.training.run import pretrain, read_result

SCRIPT = '''
"""Trains one run after another, as somebody's own script would."""

import sys
from pathlib import Path

from zoo.training.run import pretrain
from zoo.training.shipped import load_run

settings = sys.argv[1].split()
for config in sys.argv[2:]:
    result = pretrain(load_run(config, settings).config, Path(config).with_suffix(""))
    print(f"finished {result.folder.name} at {result.metrics['validation/loss']:.12f}", flush=True)
'''

SETTINGS = ("trainer.precision=64-true", "optimizer.eps=1e-4", "trainer.validate_every=3", "trainer.save_every=3")


def test_script_on_two_ranks_trains_what_one_rank_trains(tmp_path: Path) -> None:
    """BERT with two denominators, GPT, T5, and objectives with shares, of which a rank may have no row in a step."""
    configs = [write_config(tmp_path, kind) for kind in KINDS]
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    settings = (*SETTINGS, "trainer.devices=2", "trainer.accumulate=2")
    process = Command((script, " ".join(settings), *configs), tmp_path, program=())
    assert process.wait() == 0, process.output.read_text()
    said = process.output.read_text()
    for kind in KINDS:
        alone = pretrain(tiny_run(tmp_path, kind, *SETTINGS), tmp_path / "alone" / kind)
        together = read_result(tmp_path / kind)
        assert distance(weights(tmp_path / kind), weights(alone.folder)) <= 1e-12
        for name in ("train/loss", "validation/loss", "gradient_norm"):
            assert together.metrics[name] == pytest.approx(alone.metrics[name], rel=1e-11)
        assert (together.tokens, together.steps) == (alone.tokens, alone.steps)
        assert said.count(f"finished {kind} at {together.metrics['validation/loss']:.12f}") == 2  # each rank has it
        assert [row["step"] for row in read_metrics(tmp_path / kind / "metrics.csv")] == ["1", "2", "3", "4"]
        assert sorted(path.name for path in (tmp_path / kind / "checkpoints").iterdir()) == ["step-3", "step-4"]
    built = [path for path in (tmp_path / "cache").glob("*/*") if path.is_dir()]
    assert len(built) == 3, built  # the text, once for each vocabulary


HELD = """
import os, sys

from tests.training.processes import hold_at_step
from zoo.cli.main import main

if os.environ.get("LOCAL_RANK", "0") == "0":
    hold_at_step(40)
sys.exit(main())
"""
"""The command, whose first rank waits in a step for the signal; the other waits for the first."""


def stop(arguments: tuple[object, ...], folder: Path) -> None:
    """SIGTERM to the first rank alone: both stop in the same step, and the status is the signal's."""
    (folder / "held.py").write_text(HELD, encoding="utf-8")
    process = Command((*arguments, "--folder", "run"), folder, ("held.py",))
    wait_until_it_trains(process)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM, process.output.read_text()
    said = process.output.read_text()
    assert said.count("stopped by SIGTERM after step") == 1
    assert "Traceback" not in said
    assert not (folder / "run" / "result.json").exists()


def test_command_on_two_ranks_stops(tmp_path: Path) -> None:
    config = write_config(tmp_path, "gpt")
    stop(("pretrain", config, "trainer.devices=2", "trainer.max_steps=10000"), tmp_path)


@pytest.mark.slow
def test_command_on_two_ranks_goes_on(tmp_path: Path) -> None:
    settings = (*DROPOUT, "trainer.devices=2", "trainer.accumulate=2", "trainer.save_every=20", "trainer.log_every=7")
    arguments = ("pretrain", write_config(tmp_path, "bert"), *settings, "trainer.max_steps=60")
    stop(arguments, tmp_path)
    for folder in ("run", "unbroken"):
        process = Command((*arguments, "--folder", folder), tmp_path)
        assert process.wait() == 0, process.output.read_text()
        assert process.output.read_text().count("parameters") == 1  # one summary
    run, unbroken = tmp_path / "run", tmp_path / "unbroken"
    assert same(weights(run), weights(unbroken))
    assert same(moments(run), moments(unbroken))
    assert counters(run) == counters(unbroken)
    assert rows_without_clocks(run) == rows_without_clocks(unbroken)


@pytest.mark.slow
def test_growing_run_of_so_many_tokens_is_extended_on_two_ranks(tmp_path: Path) -> None:
    """Lightning starts the second rank by the same command, which finds the folder ready."""
    growing = (
        "trainer.max_steps=null",
        "schedule={kind: constant, warmup_steps: 0, warmup_tokens: 300}",
        "trainer.batch_warmup={start: 4, increment: 2, steps: 4}",
        "trainer.length_warmup={start: 20, increment: 10, steps: 4}",
    )
    settings = (*growing, "trainer.accumulate=2", "optimizer.eps=1e-4")
    config = write_config(tmp_path, "bert")
    two = ("pretrain", config, *settings, "trainer.max_tokens=1000", "trainer.devices=2", "--folder", "run")
    for arguments in (two, ("extend", "run", "trainer.max_tokens=2500")):
        process = Command(arguments, tmp_path)
        assert process.wait() == 0, process.output.read_text()
    alone = pretrain(tiny_run(tmp_path, "bert", *settings, "trainer.max_tokens=2500"), tmp_path / "alone")
    together = read_result(tmp_path / "run")
    assert (together.tokens, together.steps) == (alone.tokens, alone.steps)
    assert distance(weights(tmp_path / "run"), weights(alone.folder)) <= 1e-5


@pytest.mark.slow
def test_torchrun_starts_the_ranks(tmp_path: Path) -> None:
    """As on several machines: all ranks start side by side, on a cache that nobody has filled."""
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    program = (*launcher, "-m", "zoo")
    arguments = ("pretrain", write_config(tmp_path, "bert"), *SETTINGS, "--folder", "run")
    process = Command((*arguments, "trainer.devices=2"), tmp_path, program)
    assert process.wait() == 0, process.output.read_text()
    assert process.output.read_text().count("parameters") == 1
    alone = pretrain(tiny_run(tmp_path, "bert", *SETTINGS), tmp_path / "alone")
    assert distance(weights(tmp_path / "run"), weights(alone.folder)) <= 1e-12
    assert Command((*arguments, "trainer.devices=2"), tmp_path, program).wait() == 0  # finished already
    process = Command(arguments, tmp_path, program)
    assert process.wait() != 0
    assert "2 were started" in process.output.read_text()
