"""The options of `Pretrained.generate`: from keyword arguments to a config, and what is said of wrong ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
from torch import Tensor

from zoo.config import build
from zoo.errors import Collected, ConfigError, quoted
from zoo.generation.counts import check_count
from zoo.generation.decoding import DecodingConfig
from zoo.registry import unknown_name
from zoo.spelling import named
from zoo.tokenizer.tokenizer import Tokenizer

OF_THE_CALL = ("max_new_tokens", "prefix", "details", "batch_size")
"""What `generate` takes beside the fields of `DecodingConfig`."""

ELSEWHERE: dict[str, str] = {
    "max_length": "write max_new_tokens, which counts the new tokens and not the prompt's",
    "max_tokens": "write max_new_tokens",
    "min_length": "write min_new_tokens, which counts the new tokens and not the prompt's",
    "do_sample": "a temperature above 0 draws, and 0, the default, does not",
    "n": "write num_return",
    "num_return_sequences": "write num_return",
    "eos_token_id": "write stop_tokens=[…]; the tokenizer's own token for the end counts in any case",
    "stop_strings": "write stop",
    "pad_token_id": "leave it out: padding is masked",
    "epsilon_cutoff": "leave it out, or take min_p",
    "use_cache": "leave it out: keys and values are always kept (cache says how)",
}
"""What an option is called in other libraries → what to do here."""


def decoding_config(options: Mapping[str, Any], **counts: int | None) -> DecodingConfig:
    """The config of these options; `stop` may be one string, numbers may be NumPy's, and ids an array or a tensor.

    Args:
        options: fields of `DecodingConfig`.
        counts: what the call takes beside them, by name; None: not given.

    Raises:
        ConfigError: unknown options, wrong values, or some that do not go together: all of them at once.
    """
    names = {field.name for field in fields(DecodingConfig)}
    wrong = Collected()
    for name in options:
        if name in ELSEWHERE:
            wrong.add(f"no option of this name here; {ELSEWHERE[name]}", name)
        elif name not in names:
            wrong.add(unknown_name("option", name, [*names, *OF_THE_CALL]), name)
    given = {name: plain(value) for name, value in options.items() if name in names}
    if isinstance(given.get("stop"), str):
        given["stop"] = [given["stop"]]
    with wrong.taken():
        config: DecodingConfig = build(DecodingConfig, given)
    for name, count in counts.items():
        if count is not None:
            with wrong.taken():
                check_count(count, name)
    wrong.raise_any()
    return config


def plain(value: Any) -> Any:
    """A value as Python's own numbers and lists, where they are NumPy's or torch's."""
    if isinstance(value, (np.generic, np.ndarray, Tensor)):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return {name: plain(part) for name, part in value.items()} if isinstance(value, Mapping) else value


def with_prefix(config: DecodingConfig, tokenizer: Tokenizer, prefix: str, own: tuple[int, ...]) -> DecodingConfig:
    """The config with a prefix as tokens, behind what the model's output begins with in any case.

    Args:
        config: which may have it as tokens.
        tokenizer: of the model.
        prefix: as a text; "": none.
        own: what stands before it.

    Raises:
        ConfigError: no text, or both. DataError: it has characters that the tokenizer does not know.
    """
    if not isinstance(prefix, str):
        raise ConfigError(f"{quoted(prefix)} is not a text", "prefix")
    if prefix and config.prefix_tokens:
        told = f"{list(config.prefix_tokens)} and {named('prefix', prefix)} say it twice; give one"
        raise ConfigError(told, "prefix_tokens")
    given = tuple(tokenizer.prompt(prefix).tolist()) if prefix else config.prefix_tokens
    return replace(config, prefix_tokens=(*own, *given))


def with_special_stops(config: DecodingConfig, tokenizer: Tokenizer) -> DecodingConfig:
    """The config, with the special tokens that it gives as stop strings ("<|im_end|>") among its stop tokens.

    Special tokens are no part of a text, so as strings they would never come; as strings they stay all the same, for
    models that spell them out in ordinary tokens.

    Raises:
        ConfigError: stop strings have other characters beside a special token: all of them at once.
    """
    if not config.stop:
        return config
    special = {tokenizer.token(id): id for id in tokenizer.special_ids.tolist()}
    wrong = Collected()
    for stop in config.stop:
        inside = [token for token in special if token and token in stop]
        if inside and stop not in special:
            wrong.add(
                f"{stop!r} never comes: {max(inside, key=len)!r} in it is a special token, which is no part of a text; "
                "give it by itself, then it ends a text as a token",
                "stop",
            )
    wrong.raise_any()
    given = [special[stop] for stop in config.stop if stop in special]
    return replace(config, stop_tokens=tuple(dict.fromkeys((*config.stop_tokens, *given))))
