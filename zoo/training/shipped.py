"""Configs by name: those that come with the package, and files of one's own.

A name (`bert-nano`) is a shipped config; anything with a path separator or ending in .yaml is a file, or a run folder,
which stands for the config in it. Neither is guessed from the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.config import Resolved, Source, load_config, merged
from zoo.config_text import read_overrides, read_yaml
from zoo.errors import ConfigError, quoted
from zoo.own_blocks import made_with
from zoo.registry import unknown_name
from zoo.spelling import spelled

if TYPE_CHECKING:
    from zoo.training.run import Result

PACKAGE = Path(__file__).resolve().parent.parent


def config_folder() -> Path:
    """Where shipped configs are: inside an installed package, beside it in a checkout."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else PACKAGE.parent / "configs"


def shipped_configs(group: str = "pretrain") -> dict[str, Path]:
    """The shipped configs of a group by name, in alphabetical order."""
    return {path.stem: path for path in sorted((config_folder() / group).glob("*.yaml"))}


def is_path(config: str | Path) -> bool:
    """Whether this means a file rather than the name of a shipped config."""
    return isinstance(config, Path) or "/" in config or config.endswith((".yaml", ".yml"))


def find_config(config: str | Path, group: str = "pretrain") -> Path:
    """The file of a config.

    Args:
        config: the path of a file or of a run folder, or the name of a shipped config.
        group: the folder of shipped configs that the name is looked up in.

    Raises:
        ConfigError: no such file, or no such name; it lists the shipped names and the nearest one.
    """
    shipped = shipped_configs(group)
    path = Path(config).expanduser()
    if path.is_dir() and (is_path(config) or config not in shipped):
        if not (path / "config.yaml").is_file():
            raise ConfigError(f"{path} is a folder without a config.yaml, so it is no run{_names(shipped)}")
        return path / "config.yaml"
    if is_path(config):
        if not path.is_file():
            raise ConfigError(f"no config file at {path}{_names(shipped)}")
        return path
    if config not in shipped:
        beside = f"; for the file of this name write ./{path}" if path.is_file() else ""
        raise ConfigError(unknown_name("config", config, shipped) + (beside or "; or give the path of a .yaml file"))
    return shipped[str(config)]


def _names(shipped: Iterable[str]) -> str:
    return f"; shipped configs: {', '.join(shipped) or 'none'}"


@spelled({})  # settings, some of which are called like options
def load_run(config: str | Path, overrides: Iterable[str] = ()) -> Resolved:
    """The RunConfig that a config file and `key=value` settings amount to, and where each value came from.

    The run is named after the file unless something says otherwise.

    Raises:
        ConfigError: see `find_config`; a setting is unknown, wrong, or does not go together with another.
    """
    from zoo.training.config import RunConfig

    path = find_config(config)
    name = Source("file name", {"name": path.stem})
    try:
        sources = [read_yaml(path), read_overrides(overrides)]
        said = merged(sources[0].settings, sources[1].settings)
        if said.get("init_from") is not None:
            from zoo.training.init_from import start_source

            sources = [start for start in [start_source(said)] if start is not None] + sources
        return load_config(RunConfig, [name, *sources])
    except ConfigError as error:
        from zoo.training.imports import recorded

        raise error.followed_by(made_with(recorded(path.parent))) from None


def own_folder(config: str | Path, resolved: Resolved) -> Path | None:
    """The run folder by which a config was named: where that run goes on. None: it was not, or the name is another."""
    path = Path(config).expanduser()
    is_run = find_config(config) == path / "config.yaml"
    return path if is_run and resolved.origins["name"] != "command line" else None


def pretrain(
    config: str | Path, *overrides: str, folder: str | Path | None = None, fresh: bool = False, **unknown: Any
) -> Result:
    """Trains a run from its config to its end, or goes on with it: `zoo pretrain` from Python.

        zoo.pretrain("gpt-nano", "trainer.max_steps=200")

    Args:
        config: a shipped name, the path of a .yaml file, or a run folder.
        overrides: `key=value` settings.
        folder: where the run lives; None: in the run folder that `config` names, else in runs/<name>.
        fresh: move what an older run left there aside and start anew.
        unknown: nothing else; a setting in the form name=value is refused with what to write.

    Raises:
        as `zoo.training.run.pretrain`.
    """
    if unknown:
        words = ", ".join(quoted(f"{key}={value}") for key, value in unknown.items())
        raise ConfigError(f"pretrain takes settings as text: write {words}")
    from zoo.training import run

    resolved = load_run(config, overrides)
    place = own_folder(config, resolved) if folder is None else Path(folder)
    return run.pretrain(resolved.config, place, fresh=fresh)
