"""The options of decoding: a row for each field of `DecodingConfig`, of which a verb that writes texts has all or some.

They are told here once more, and not made of the fields: those stand beside what they do to tensors, and a help page
does without torch.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.arguments import number, whole_number

if TYPE_CHECKING:
    from zoo.generation.decoding import DecodingConfig


def _whole(text: str) -> Any:
    return Annotated[int | None, typer.Option(parser=whole_number, metavar="number", help=text)]


def _number(text: str) -> Any:
    return Annotated[float | None, typer.Option(parser=number, metavar="number", help=text)]


def _words(metavar: str, text: str) -> Any:
    return Annotated[str | None, typer.Option(metavar=metavar, help=text)]


def _ids(text: str) -> Any:
    return Annotated[list[int] | None, typer.Option(parser=whole_number, metavar="id", help=text)]


OPTIONS: dict[str, Any] = {
    "temperature": _number("0: always the likeliest token, as where nobody says; above: draw, wilder the higher"),
    "top_k": _whole("draw from the k likeliest tokens only"),
    "top_p": _number("draw from the likeliest tokens that make up this share"),
    "min_p": _number("draw from tokens with this share of the likeliest one's probability"),
    "typical_p": _number("draw from the most typical tokens that make up this share"),
    "repetition_penalty": _number("above 1: what was said becomes less likely"),
    "frequency_penalty": _number("taken from a token's logit each time that it was written"),
    "presence_penalty": _number("taken from the logit of what was written"),
    "no_repeat_ngram_size": _whole("no run of so many tokens comes twice"),
    "min_new_tokens": _whole("no token ends a text before so many"),
    "seed": _whole("the same seed draws the same text; 0 where nobody says"),
    "num_beams": _whole("search with so many beams"),
    "length_penalty": _number("of beams: above 0 favours long texts, below 0 short ones"),
    "early_stopping": _words("true|false|never", "of beams: when a search ends; false where nobody says"),
    "best_of": _whole("draw so many texts and keep the likeliest"),
    "num_return": _whole("texts that are kept of each prompt, best first"),
    "stop": Annotated[
        list[str] | None,
        typer.Option(metavar="text", help="ends a text before this string or special token; repeatable"),
    ],
    "stop_tokens": _ids("an id that ends a text; repeatable"),
    "cache": _words("growing|static|windowed", "how earlier places are kept; the fastest where nobody says"),
    "prefix_tokens": _ids("an id that the output begins with; repeatable, in this order"),
}
"""Field → its option, as an annotation that typer reads, in the order of the help page."""

WORDS = {"true": True, "false": False}


def with_decoding(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a verb these options of decoding.

    They stand where its function has the parameter `decoding`, which gets those that were given, as keyword arguments
    of `Pretrained.generate`.
    """

    def dressed(run: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(run, eval_str=True)
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        options = [inspect.Parameter(name, kind, default=None, annotation=OPTIONS[name]) for name in names]
        parameters = [two for one in own.parameters.values() for two in (options if one.name == "decoding" else [one])]

        @functools.wraps(run)
        def verb(**arguments: Any) -> None:
            given = _given({name: arguments.pop(name) for name in names})
            run(**arguments, decoding=given)

        vars(verb)["__signature__"] = own.replace(parameters=parameters)
        return verb

    return dressed


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in options.items() if value is not None and value not in ([], ())}
    if "early_stopping" in found:
        found["early_stopping"] = WORDS.get(found["early_stopping"], found["early_stopping"])
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def check_options(given: dict[str, Any], max_new_tokens: int | None) -> DecodingConfig:
    """The config of these options; raises ConfigError where they are wrong by themselves, whatever the model."""
    from zoo.generation.options import decoding_config

    return decoding_config(given, max_new_tokens=max_new_tokens)
