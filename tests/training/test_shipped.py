"""Configs by name and by path."""

from pathlib import Path

import pytest

from zoo.config_text import to_yaml
from zoo.errors import ConfigError
from zoo.training import shipped
from zoo.training.shipped import config_folder, find_config, load_run, own_folder, shipped_configs


def test_checkout_has_its_configs_beside_the_package() -> None:
    assert config_folder() == shipped.PACKAGE.parent / "configs"
    assert {"bert-nano", "gpt-nano", "t5-nano"} <= set(shipped_configs())


def test_installed_package_has_them_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "zoo" / "configs" / "pretrain"
    inside.mkdir(parents=True)
    (inside / "mine.yaml").write_text("seed: 1", encoding="utf-8")
    monkeypatch.setattr(shipped, "PACKAGE", tmp_path / "zoo")
    assert shipped_configs() == {"mine": inside / "mine.yaml"}
    assert find_config("mine") == inside / "mine.yaml"


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_every_shipped_config_loads_and_is_named_after_its_file(name: str) -> None:
    config = load_run(name).config
    assert config.name == name


def test_run_is_named_after_its_file_unless_something_says_otherwise(tmp_path: Path) -> None:
    text = shipped_configs()["gpt-nano"].read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace("name: gpt-nano", ""), encoding="utf-8")
    resolved = load_run(tmp_path / "mine.yaml")
    assert (resolved.config.name, resolved.origins["name"]) == ("mine", "file name")
    assert load_run(tmp_path / "mine.yaml", ["name=other"]).config.name == "other"


def test_resolved_config_loads_to_itself(tmp_path: Path) -> None:
    config = load_run("bert-nano", ["model.positions=alibi"]).config
    (tmp_path / "again.yaml").write_text(to_yaml(config), encoding="utf-8")
    assert load_run(tmp_path / "again.yaml").config == config


@pytest.mark.parametrize(
    "config, words",
    [
        ("bert-nono", ["unknown config 'bert-nono'", "did you mean 'bert-nano'", "gpt-nano"]),
        ("plain", ["unknown config 'plain'", "write ./plain"]),
        ("gone.yaml", ["no config file at gone.yaml", "bert-nano"]),
        ("gone/bert-nano", ["no config file at gone/bert-nano"]),
        ("folder", ["folder is a folder", "bert-nano"]),
    ],
)
def test_what_is_no_config(config: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain").write_text("seed: 1", encoding="utf-8")
    Path("folder").mkdir()
    with pytest.raises(ConfigError) as caught:
        find_config(config)
    for word in words:
        assert word in str(caught.value)


def test_name_wins_over_a_folder_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bert-nano").mkdir()
    assert find_config("bert-nano") == shipped_configs()["bert-nano"]
    with pytest.raises(ConfigError, match="is a folder"):
        find_config("./bert-nano")


def test_run_folder_stands_for_its_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for run in (Path("runs/mine"), Path("bare"), Path("gpt-nano")):
        run.mkdir(parents=True)
        (run / "config.yaml").write_text(to_yaml(load_run("bert-nano", [f"name={run.name}"]).config), encoding="utf-8")
    for name in ("runs/mine", "runs/mine/", "bare", "./gpt-nano", str(tmp_path / "runs/mine")):
        assert find_config(name) == Path(name) / "config.yaml"
        resolved = load_run(name, ["seed=3"])
        assert (resolved.config.model.kind, resolved.config.seed) == ("encoder", 3)
        assert own_folder(name, resolved) == Path(name)
        assert own_folder(name, load_run(name, ["name=other"])) is None
    assert find_config("gpt-nano") == shipped_configs()["gpt-nano"]
    for name in ("gpt-nano", "runs/mine/config.yaml"):
        assert own_folder(name, load_run(name)) is None


def test_settings_are_text() -> None:
    with pytest.raises(ConfigError, match="settings as text: write 'name=x', 'seed=1'"):
        shipped.pretrain("gpt-nano", name="x", seed=1)
    with pytest.raises(ConfigError, match="is no setting; write each as text: 'name=x'"):
        shipped.pretrain("gpt-nano", {"name": "x"})  # type: ignore[arg-type]
