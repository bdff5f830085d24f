"""Weights & Biases can neither block nor end a run. No test reaches out: the library is a stand-in, or offline."""

import builtins
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.training.tiny import same, tiny_run, weights
from zoo.training import wandb_log
from zoo.training.config import WandbConfig
from zoo.training.run import pretrain
from zoo.training.wandb_log import WandbLog

ENABLED = "wandb.enabled=true"


class FakeWandb(ModuleType):
    """Remembers what it is told; `trouble` happens at the moment of its name."""

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
        return SimpleNamespace(log=self.log, finish=self.finish)

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
    assert fake.rows[-1][1].items() >= {"validation/loss": result.metrics["validation/loss"]}.items()
    assert fake.finished == 1


def test_continued_run_is_the_same_run(install: Any, tmp_path: Path) -> None:
    fake = install()
    for _ in range(2):
        pretrain(tiny_run(tmp_path, "gpt", ENABLED, "trainer.save_every=2"), tmp_path / "run")
        (tmp_path / "run" / "result.json").unlink()
        import shutil

        shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-4")
    assert fake.begun[0]["id"] == fake.begun[1]["id"]
    assert [step for step, _ in fake.rows] == [1, 2, 3, 4, 3, 4]


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
    WandbLog(WandbConfig(enabled=True), "run", tmp_path, {}).close()
    assert fake.begun[0]["mode"] == mode


@pytest.mark.parametrize("moment", ["init", "log", "finish"])
def test_error_is_said_and_the_run_goes_on(moment: str, install: Any, tmp_path: Path) -> None:
    install({moment: fail})
    with pytest.warns(UserWarning, match=r"wandb stopped \(the service is on fire\); metrics.csv goes on"):
        assert pretrain(tiny_run(tmp_path, "gpt", ENABLED), tmp_path / "run").steps == 4


@pytest.mark.parametrize("moment", ["init", "log", "finish"])
def test_hanging_library_holds_nothing_up(
    moment: str, install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb_log, "FINISH_SECONDS", 0.2)
    release = threading.Event()
    install({moment: lambda: release.wait(60)})
    began = time.monotonic()
    with pytest.warns(UserWarning, match="wandb did not finish in time"):
        pretrain(tiny_run(tmp_path, "gpt", ENABLED), tmp_path / "run")
    assert time.monotonic() - began < 30
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
def test_real_library_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    pretrain(tiny_run(tmp_path, "gpt", ENABLED), tmp_path / "run")
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb"))
