"""The options of decoding, shared by the verbs that write texts; their names are those of `DecodingConfig`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.arguments import number, whole_number

if TYPE_CHECKING:
    from zoo.generation.decoding import DecodingConfig


def _whole(text: str) -> Any:
    return typer.Option(parser=whole_number, metavar="number", help=text)


def _number(text: str) -> Any:
    return typer.Option(parser=number, metavar="number", help=text)


MaxNewTokens = Annotated[int | None, _whole("tokens to write at most; 64 behind the prefix where nobody says")]
Prefix = Annotated[str, typer.Option(metavar="text", help="what the output begins with")]
Temperature = Annotated[
    float | None, _number("0: always the likeliest token, as where nobody says; above: draw, wilder the higher")
]
TopK = Annotated[int | None, _whole("draw from the k likeliest tokens only")]
TopP = Annotated[float | None, _number("draw from the likeliest tokens that make up this share")]
MinP = Annotated[float | None, _number("draw from tokens with this share of the likeliest one's probability")]
TypicalP = Annotated[float | None, _number("draw from the most typical tokens that make up this share")]
RepetitionPenalty = Annotated[float | None, _number("above 1: what was said becomes less likely")]
FrequencyPenalty = Annotated[float | None, _number("taken from a token's logit each time that it was written")]
PresencePenalty = Annotated[float | None, _number("taken from the logit of what was written")]
NoRepeatNgramSize = Annotated[int | None, _whole("no run of so many tokens comes twice")]
MinNewTokens = Annotated[int | None, _whole("no token ends a text before so many")]
Seed = Annotated[int | None, _whole("the same seed draws the same text; 0 where nobody says")]
NumBeams = Annotated[int | None, _whole("search with so many beams")]
LengthPenalty = Annotated[float | None, _number("of beams: above 0 favours long texts, below 0 short ones")]
EarlyStopping = Annotated[
    str | None, typer.Option(metavar="true|false|never", help="of beams: when a search ends; false where nobody says")
]
BestOf = Annotated[int | None, _whole("draw so many texts and keep the likeliest")]
NumReturn = Annotated[int | None, _whole("texts that are kept of each prompt, best first")]
Stop = Annotated[
    list[str] | None, typer.Option(metavar="text", help="ends a text before this string or special token; repeatable")
]
StopTokens = Annotated[
    list[int] | None, typer.Option(parser=whole_number, metavar="id", help="an id that ends a text; repeatable")
]
PrefixTokens = Annotated[
    list[int] | None,
    typer.Option(
        parser=whole_number, metavar="id", help="an id that the output begins with; repeatable, in this order"
    ),
]
Cache = Annotated[
    str | None,
    typer.Option(metavar="growing|static|windowed", help="how earlier places are kept; the fastest where nobody says"),
]

WORDS = {"true": True, "false": False}


def given_options(context: typer.Context, names: tuple[str, ...]) -> dict[str, Any]:
    """The options that were given, as keyword arguments of `Pretrained.generate`.

    Args:
        context: of the command.
        names: those to look for.
    """
    found = {name: context.params[name] for name in names}
    options = {name: value for name, value in found.items() if value is not None and value not in ([], ())}
    if "early_stopping" in options:
        options["early_stopping"] = WORDS.get(options["early_stopping"], options["early_stopping"])
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}


def check_options(given: dict[str, Any], max_new_tokens: int | None) -> DecodingConfig:
    """The config of these options; raises ConfigError where they are wrong by themselves, whatever the model."""
    from zoo.generation.options import decoding_config

    return decoding_config(given, max_new_tokens=max_new_tokens)
