"""Settings as text: YAML files and `key=value` in, YAML out. OmegaConf stays in here.

Text is read as data: nothing in it is executed, and nothing that is larger or deeper than any config is parsed.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from zoo.config import Mapped, Source, as_group, to_mapping
from zoo.errors import ConfigError, cut, quoted


def read_yaml(path: str | Path) -> Source:
    """One YAML file as a source; raises ConfigError where it is missing, unreadable or not a mapping."""
    from omegaconf import OmegaConf

    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"no config file at {path}")

    def read() -> Any:
        text = path.read_text(encoding="utf-8")
        _check_depth(text)
        _check_mapping(text, path)
        return OmegaConf.create(text) if text.strip() else OmegaConf.create()

    return Source(path.name, _contained(read, str(path)))


def _check_mapping(text: str, path: Path) -> None:
    """Refuses a file that YAML takes for one long piece of text, which OmegaConf would take for a key."""
    import yaml

    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if isinstance(root, yaml.ScalarNode):
        raise ConfigError(
            f"{path} is no config: it holds plain text, not `key: value` lines; "
            "zoo config <name> --yaml writes a file that can be read"
        )


def read_overrides(overrides: Iterable[str], name: str = "command line") -> Source:
    """`["model.dim=128", …]` as a source; values are read as YAML (`3e-4`, `true`, `null`, `[1, 2]`)."""
    settings: Mapped = {}
    for override in overrides:
        if not isinstance(override, str):
            raise ConfigError(_no_text(override))
        key, equals, _ = override.partition("=")
        if not equals or not all(part.strip() for part in key.split(".")):
            raise ConfigError(f"{quoted(override)} is no setting; write key=value, for example trainer.max_steps=100")
        settings = _join(settings, _contained(functools.partial(_read_override, override), cut(override)))
    return Source(name, settings)


def _no_text(override: object) -> str:
    """What to write for a setting that is no text; Python's way of several is a dict."""
    pairs = override.items() if isinstance(override, dict) else [("trainer.max_steps", 100)]
    words = ", ".join(quoted(f"{key}={value}") for key, value in pairs)
    return f"{quoted(override)} is no setting; write each as text: {words}"


def _read_override(override: str) -> Any:
    from omegaconf import OmegaConf

    _check_depth(override)
    return OmegaConf.from_dotlist([override])


MAX_YAML_CHARACTERS, MAX_YAML_BRACKETS, MAX_YAML_INDENT = 1 << 20, 2_000, 1_000


def _check_depth(text: str) -> None:
    """Refuses what no config needs and what makes a YAML parser slow or overflows its stack."""
    if len(text) > MAX_YAML_CHARACTERS:
        raise ValueError(f"a config has at most {MAX_YAML_CHARACTERS:,} characters, not {len(text):,}")
    indent = max((len(line) - len(line.lstrip(" -?:\t")) for line in text.splitlines()), default=0)
    if text.count("[") + text.count("{") > MAX_YAML_BRACKETS or indent > MAX_YAML_INDENT:
        raise ValueError("a config is not nested that deeply; it has too many brackets or too much indentation")


def _contained(read: Callable[[], Any], what: str) -> Mapped:
    """What OmegaConf reads, as plain data; raises ConfigError, which calls it `what`, where it is not."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        settings = OmegaConf.to_container(read(), resolve=False)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{what} is not UTF-8 text ({error.reason} at byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f"{what} cannot be read: {error.strerror or error}") from None
    except (OmegaConfBaseException, YAMLError, RecursionError, ValueError) as error:
        said = " ".join(str(error).replace('in "<unicode string>", ', "at ").split())
        if "max_yaml_expanded_nodes" in said:
            said = "the *names in it stand for more than 10,000 values"
        said += "; text that begins with * needs quotes: '*.bias'" if " alias" in said else ""
        raise ConfigError(f"{what} is not valid YAML: {said}") from None
    if not isinstance(settings, dict):
        raise ConfigError(f"{what} must hold `key: value` lines, not a {type(settings).__name__}")
    _check_keys(settings, what)
    return typing.cast("Mapped", settings)


def _check_keys(value: Any, what: str, path: str = "") -> None:
    """Refuses keys that are no words, however deep (`8: true`)."""
    for name, child in value.items() if isinstance(value, dict) else ():
        if not isinstance(name, str):
            raise ConfigError(
                f"key {quoted(name)} in {what} must be a word; quote it: {{{quoted(str(name))}: …}}", path
            )
        _check_keys(child, what, f"{path}.{name}" if path else name)


def _join(settings: Mapped, more: Mapped) -> Mapped:
    """Both together, as parts of one source: `norm=rms_norm norm.eps=1e-5` mean one group in either order."""
    joined = dict(settings)
    for key, value in more.items():
        before = as_group(settings.get(key), value)
        value = as_group(value, before)
        joined[key] = _join(before, value) if isinstance(before, dict) and isinstance(value, dict) else value
    return joined


def to_yaml(config: Any) -> str:
    """The config as YAML text that loads back to an equal config."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(to_mapping(config)))
