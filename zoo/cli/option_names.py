"""Errors about an option name it as it is typed: max_new_tokens → --max-new-tokens.

What stands below the command line knows keyword arguments, and so do its errors. A verb that takes key=value settings
is left alone: what its errors name is a key of those.
"""

from __future__ import annotations

import functools
import re
import typing
from collections.abc import Callable, Mapping
from typing import Any

from typer.models import OptionInfo

from zoo.errors import CheckpointError, ConfigError, DataError, ZooError


def option_names(run: Callable[..., None]) -> dict[str, str]:
    """Of a verb's function: parameter → its option, as it is typed; none where the verb takes key=value settings."""
    hints = typing.get_type_hints(run, include_extras=True)
    if "settings" in hints:
        return {}
    names = {}
    for name, hint in hints.items():
        for info in typing.get_args(hint)[1:]:
            if isinstance(info, OptionInfo):
                names[name] = next(iter(info.param_decls or ()), f"--{name.replace('_', '-')}")
    return names


def told_as_typed(run: Callable[..., None]) -> Callable[..., None]:
    """A verb's function, whose errors name options as they are typed."""
    names = option_names(run)

    @functools.wraps(run)
    def verb(*args: Any, **options: Any) -> None:
        try:
            run(*args, **options)
        except ConfigError as error:
            raise _config_error(error, names) from error
        except ZooError as error:
            kind = next((kind for kind in (DataError, CheckpointError) if isinstance(error, kind)), ZooError)
            if kind is ZooError and type(error) is not ZooError:
                raise  # it carries more than its words
            raise kind(as_typed(str(error), names)) from error

    return verb


def _config_error(error: ConfigError, names: Mapping[str, str]) -> ConfigError:
    others = [_config_error(other, names) for other in error.others]
    name, *entry = error.key.split(".")
    key = names[name] + "".join(f"[{part}]" for part in entry) if name in names else error.key
    return ConfigError(as_typed(error.reason, names), key, others)


def as_typed(words: str, names: Mapping[str, str]) -> str:
    """A sentence with options as they are typed: `which='best'` → `--which best`, `num_beams` → `--num-beams`.

    A name that is a word of English too is only an option where a value is behind it. What is quoted is the user's.
    """
    for name, option in names.items():
        words = re.sub(rf"(?<![\w./'\"-]){name}=(?:'([^']*)'|\"([^\"]*)\"|(?=[\w\[-]))", rf"{option} \1\2", words)
        if "_" in name:
            parts = re.split(r"""((?<!\w)'[^']*'|"[^"]*")""", words)  # at odd places what is quoted
            parts[::2] = [re.sub(rf"(?<![\w./=-]){name}(?![\w/=]|\.\w)", option, part) for part in parts[::2]]
            words = "".join(parts)
    return words
