"""Errors about an option name it as it is typed: max_new_tokens → --max-new-tokens."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from zoo.spelling import spelled


class Verb(TyperCommand):
    """The command of a verb, whose errors call its options as they are typed."""

    @property
    def option_names(self) -> dict[str, str]:
        """Parameter of the verb's function → its option, as it is typed."""
        return {one.name: one.opts[0] for one in self.params if one.param_type_name == "option"}

    def invoke(self, ctx: Any) -> Any:
        """Runs the verb."""
        with spelled(self.option_names):
            return super().invoke(ctx)
