"""`zoo config`: the config that a run would have, and where each value came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from zoo.cli.arguments import ConfigName, Settings, examples
from zoo.cli.screen import screen_width, table, written

if TYPE_CHECKING:
    from zoo.config import Resolved

EXAMPLES = examples(
    "zoo config bert-nano",
    "zoo config bert-nano model.dim=256 | grep model",
    "zoo config gpt-nano --yaml > mine.yaml",
    "zoo config gpt-nano --docs",
    "zoo config runs/gpt-nano",
)


def run(
    config: ConfigName,
    settings: Settings = None,
    yaml: Annotated[bool, typer.Option("--yaml", help="as YAML that zoo pretrain takes")] = False,
    docs: Annotated[bool, typer.Option("--docs", help="each key with its meaning, legal values and default")] = False,
) -> None:
    """Show a config with all its values.

    Beside each value stands where it came from: default, preset, file or command line.
    """
    from zoo.config_text import to_yaml
    from zoo.errors import ConfigError
    from zoo.training.shipped import load_run

    if yaml and docs:
        raise ConfigError("--yaml and --docs are two answers; ask for one")
    resolved = load_run(config, settings or ())
    if yaml:
        print(to_yaml(resolved.config), end="")
    elif docs:
        from zoo.cli.documentation import document, page

        print("\n".join(page(document(resolved.config), screen_width())))
    else:
        table("", ("key", "value", "from"), origin_rows(resolved))


def origin_rows(resolved: Resolved) -> list[tuple[str, str, str]]:
    """(dotted key, value as YAML writes it, where it came from) of every value."""
    from zoo.config import flatten, to_mapping

    values = flatten(to_mapping(resolved.config))
    return [(key, written(value), resolved.origins.get(key, "default")) for key, value in values.items()]
