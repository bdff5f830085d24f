"""Ranks that would not be one run are refused."""

import os
from dataclasses import replace

import pytest

from zoo.errors import ConfigError
from zoo.training.config import TrainerConfig
from zoo.training.launch import check_launch, device_type

ONE, FOUR = TrainerConfig(), TrainerConfig(devices=2, num_nodes=2)


@pytest.fixture(autouse=True)
def _started_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("SLURM_", "TORCHELASTIC_", "MASTER_"))]:
        monkeypatch.delenv(name)


def started_by(launcher: str, ranks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if launcher == "torchrun":
        variables = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": str(ranks), "RANK": "0"}
    else:
        variables = {"SLURM_NTASKS": str(ranks), "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_from_a_shell_one_machine_starts_its_own_ranks() -> None:
    check_launch(ONE, fresh=True)
    check_launch(replace(ONE, devices=2), fresh=True)


def test_several_machines_must_know_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.num_nodes: 2 machines .* torchrun \(--nnodes 2\)"):
        check_launch(FOUR, fresh=False)
    monkeypatch.setenv("MASTER_ADDR", "localhost")  # each machine's ranks started by hand
    check_launch(FOUR, fresh=False)


@pytest.mark.parametrize("launcher", ["torchrun", "srun"])
def test_as_many_as_the_config_says(launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started_by(launcher, 4, monkeypatch)
    check_launch(FOUR, fresh=False)
    with pytest.raises(ConfigError, match=r"trainer.devices: 1 devices × 1 nodes are 1 ranks, but 4 were started"):
        check_launch(ONE, fresh=False)


@pytest.mark.parametrize("launcher", ["torchrun", "srun"])
def test_fresh_needs_a_first_rank_that_is_there_before_the_others(
    launcher: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_by(launcher, 4, monkeypatch)
    with pytest.raises(ConfigError, match="--fresh does not go with"):
        check_launch(FOUR, fresh=True)
    started_by(launcher, 1, monkeypatch)
    check_launch(ONE, fresh=True)


def test_fresh_on_several_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    with pytest.raises(ConfigError, match="several machines"):
        check_launch(FOUR, fresh=True)


def test_an_accelerator_is_the_device_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"cuda": False, "mps": False}
    monkeypatch.setattr("torch.cuda.is_available", lambda: there["cuda"])
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: there["mps"])
    assert [device_type(name) for name in ("auto", "cpu", "gpu", "mps")] == ["cpu", "cpu", "cuda", "mps"]
    there["mps"] = True
    assert device_type("auto") == "mps"
    there["cuda"] = True
    assert [device_type(name) for name in ("auto", "cpu", "gpu")] == ["cuda", "cpu", "cuda"]
