"""Weights & Biases can neither block nor end a run. No test reaches out: the library is a stand-in, or offline."""

import bisect
import builtins
import shutil
import sys
import threading
import time
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.training.tiny import CLOCKS, same, tiny_run, weights
from zoo.checkpoint.folder import steps_of
from zoo.training import wandb_log
from zoo.training.branch import branch
from zoo.training.config import WandbConfig
from zoo.training.extend import config_of
from zoo.training.metrics_file import MetricsFile
from zoo.training.run import pretrain
from zoo.training.wandb_files import STEP, steps_in
from zoo.training.wandb_log import WandbLog

ENABLED = "wandb.enabled=true"


class FakeWandb(ModuleType):
    """Remembers what it is told, as a server does; `trouble` happens at the moment of its name."""

    def __init__(self, trouble: dict[str, Any] | None = None) -> None:
        super().__init__("wandb")
        self.trouble = trouble or {}
        self.begun: list[dict[str, Any]] = []
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.finished = 0
        self.Settings = lambda **settings: settings

    def meet(self, moment: str) -> None:
        if moment in self.trouble:
            self.trouble[moment]()

    def init(self, **arguments: Any) -> SimpleNamespace:
        self.begun.append(arguments)
        self.meet("init")
        return SimpleNamespace(
            log=self.log,
            finish=self.finish,
            offline=arguments["mode"] == "offline",
            starting_step=self.rows[-1][0] + 1 if self.rows else 0,
        )

    def log(self, row: dict[str, float], step: int) -> None:
        self.meet("log")
        self.rows.append((step, row))

    def finish(self) -> None:
        self.meet("finish")
        self.finished += 1


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Puts a stand-in in the place of wandb; there is no key anywhere."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def put(trouble: dict[str, Any] | None = None) -> FakeWandb:
        fake = FakeWandb(trouble)
        monkeypatch.setitem(sys.modules, "wandb", fake)
        return fake

    return put


def fail() -> None:
    raise RuntimeError("the service is on fire")


def test_gets_every_row_and_is_finished(install: Any, tmp_path: Path) -> None:
    fake = install()
    result = pretrain(tiny_run(tmp_path, "gpt", ENABLED, "wandb.project=mine", "name=one"), tmp_path / "run")
    (begun,) = fake.begun
    assert begun["mode"] == "offline"
    assert (begun["project"], begun["entity"], begun["name"], begun["dir"]) == (
        "mine",
        None,
        "one",
        str(tmp_path / "run"),
    )
    assert begun["config"]["trainer"]["max_steps"] == 4
    assert begun["settings"]["console"] == "off"
    assert [step for step, _ in fake.rows] == [1, 2, 3, 4]
    assert fake.rows[-1][1]["validation/loss"] == pytest.approx(result.metrics["validation/loss"], rel=1e-5)
    assert fake.finished == 1


def go_back(run: Path, step: int) -> None:
    """Leaves of a finished run what a kill after a step's checkpoint leaves, its log being further."""
    (run / "result.json").unlink()
    for _, path in steps_of(run / "checkpoints"):
        if path.name != f"step-{step}":
            shutil.rmtree(path)


@pytest.mark.parametrize("sent", [4, 3, 1], ids=lambda sent: f"{sent} of 4 were sent")
def test_continued_run_has_each_row_once(
    sent: int, install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the server got rows of steps that come again after a kill, or a kill took rows with it."""
    monkeypatch.setenv("WANDB_API_KEY", "k")
    fake, config = install(), tiny_run(tmp_path, "gpt", ENABLED, "trainer.save_every=2", "trainer.validate_every=2")
    pretrain(config, tmp_path / "run")
    whole = list(fake.rows)
    assert [step for step, _ in whole] == [1, 2, 3, 4]
    del fake.rows[sent:]
    go_back(tmp_path / "run", 2)
    pretrain(config, tmp_path / "run")
    assert fake.begun[0]["id"] == fake.begun[1]["id"]
    assert without_clocks(fake.rows) == without_clocks(whole)


def without_clocks(rows: list[tuple[int, dict[str, float]]]) -> list[Any]:
    return [(step, {name: value for name, value in row.items() if name not in CLOCKS}) for step, row in rows]


def test_branch_and_fresh_run_are_runs_of_their_own(
    install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The branch has the rows up to its step too."""
    monkeypatch.setenv("WANDB_API_KEY", "k")
    fake, config = install(), tiny_run(tmp_path, "gpt", ENABLED, "trainer.save_every=2")
    pretrain(config, tmp_path / "run")
    ids = {fake.begun[-1]["id"]}
    for again in ("branch", "fresh"):
        fake.rows.clear()
        if again == "branch":
            folder = branch(tmp_path / "run", 2, "other", ["optimizer.learning_rate=1e-4"])
            pretrain(config_of(folder), folder)
        else:
            pretrain(config, tmp_path / "run", fresh=True)
        assert [step for step, _ in fake.rows] == [1, 2, 3, 4]
        ids.add(fake.begun[-1]["id"])
    assert len(ids) == 3


@pytest.mark.parametrize(
    "variables, netrc, mode",
    [
        ({}, "", "offline"),
        ({"WANDB_API_KEY": "k"}, "", "online"),
        ({}, "machine api.wandb.ai login user password k", "online"),
        ({}, "machine example.org login user password k", "offline"),
        ({}, "machine api.wandb.ai 'torn", "offline"),
        ({"WANDB_API_KEY": "k", "WANDB_MODE": "offline"}, "", "offline"),
    ],
)
def test_online_only_with_a_key(
    variables: dict[str, str], netrc: str, mode: str, install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = install()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".netrc").write_text(netrc, encoding="utf-8")
    (tmp_path / "home" / ".netrc").chmod(0o600)
    MetricsFile(tmp_path / "metrics.csv", ["step"], 0).close()
    WandbLog(WandbConfig(enabled=True), "run", tmp_path, {}).close()
    assert fake.begun[0]["mode"] == mode


@pytest.mark.parametrize("moment", ["init", "log", "finish"])
def test_error_is_said_and_the_run_goes_on(moment: str, install: Any, tmp_path: Path) -> None:
    install({moment: fail})
    with pytest.warns(UserWarning, match=r"wandb stopped \(the service is on fire\); metrics.csv goes on"):
        assert pretrain(tiny_run(tmp_path, "gpt", ENABLED), tmp_path / "run").steps == 4


def test_error_is_said_though_warnings_were_held_back_when_it_came(install: Any, tmp_path: Path) -> None:
    """As Lightning and torch do at every step: filters of warnings are those of all threads."""
    install({"init": fail})
    MetricsFile(tmp_path / "metrics.csv", ["step"], 0).close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log = WandbLog(WandbConfig(enabled=True), "run", tmp_path, {})
        log._thread.join()
    with pytest.warns(UserWarning, match=r"wandb stopped \(the service is on fire\); metrics.csv goes on"):
        log.write({"step": 1.0})
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        log.close()  # once


def test_error_ends_no_run_where_warnings_are_errors(
    install: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install({"init": fail})
    MetricsFile(tmp_path / "metrics.csv", ["step"], 0).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        WandbLog(WandbConfig(enabled=True), "run", tmp_path, {}).close()
    assert "warning: wandb stopped (the service is on fire); metrics.csv goes on" in capsys.readouterr().err


@pytest.mark.parametrize("moment", ["init", "log", "finish"])
def test_hanging_library_holds_nothing_up(
    moment: str, install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb_log, "FINISH_SECONDS", 0.2)
    release, ended = threading.Event(), list[bool]()
    install({moment: lambda: ended.append(release.wait(300))})
    with pytest.warns(UserWarning, match="wandb did not finish in time"):
        pretrain(tiny_run(tmp_path, "gpt", ENABLED), tmp_path / "run")
    assert not ended, "the run waited until the library hung no longer"
    release.set()


def test_not_installed(install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    original = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "wandb":
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.warns(UserWarning, match="wandb is not installed"):
        assert pretrain(tiny_run(tmp_path, "gpt", ENABLED), tmp_path / "run").steps == 4


def test_switched_off_it_is_never_touched(install: Any, tmp_path: Path) -> None:
    fake = install({"init": fail})
    pretrain(tiny_run(tmp_path, "gpt"), tmp_path / "off")
    assert fake.begun == []
    assert not (tmp_path / "off" / ".wandb-id").exists()


def test_changes_no_weight(install: Any, tmp_path: Path) -> None:
    pretrain(tiny_run(tmp_path, "gpt"), tmp_path / "off")
    install()
    pretrain(tiny_run(tmp_path, "gpt", ENABLED), tmp_path / "on")
    assert same(weights(tmp_path / "off"), weights(tmp_path / "on"))


@pytest.mark.slow
def test_folders_of_a_run_that_is_offline_have_each_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the real library: what `wandb sync` would send, folder after folder."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(wandb_log, "FINISH_SECONDS", 300.0)  # of a slow machine too it is to have all rows
    config = tiny_run(tmp_path, "gpt", ENABLED, "trainer.save_every=2", "trainer.max_steps=6", "trainer.keep=3")
    run = tmp_path / "run"
    pretrain(config, run)
    time.sleep(1.1)  # their names have seconds
    go_back(run, 2)
    (first,) = (run / "wandb").glob("offline-run-*/*.wandb")
    assert soon(first, [1, 2, 3, 4, 5, 6])
    tear_behind(first, 3)
    (run / STEP).unlink()  # as a kill leaves it
    pretrain(config, run)
    _, second = sorted((run / "wandb").glob("offline-run-*/*.wandb"))
    assert list(steps_in(first)) == [1, 2, 3]
    assert soon(second, [4, 5, 6])
    (run / "wandb").rename(tmp_path / "synced")  # out of the way, as by `wandb clean`; wandb may still write in it
    go_back(run, 2)
    pretrain(config, run)
    (third,) = (run / "wandb").glob("offline-run-*/*.wandb")
    assert list(steps_in(third)) == []


def soon(path: Path, steps: list[int]) -> bool:
    """Whether a file of wandb's has the rows of these steps; a process of wandb's writes it, which outlives the run."""
    until = time.monotonic() + 300
    while list(steps_in(path)) != steps and time.monotonic() < until:
        time.sleep(0.05)
    return list(steps_in(path)) == steps


def tear_behind(path: Path, count: int) -> None:
    """Cuts a file of wandb's in the middle of the record behind so many rows.

    The torn file is another one, put in its place: what wandb's process still writes goes to the old one.
    """
    whole, torn = path.read_bytes(), path.with_suffix(".torn")

    def rows(length: int) -> int:
        torn.write_bytes(whole[:length])
        return len(list(steps_in(torn)))

    end = bisect.bisect_left(range(len(whole)), count, key=rows)
    torn.write_bytes(whole[: end + 9])
    torn.replace(path)
