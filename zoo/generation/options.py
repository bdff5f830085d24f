"""The options of `Pretrained.generate`: from keyword arguments to a config, and what is said of wrong ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from zoo.config import build
from zoo.errors import Collected
from zoo.generation.decoding import DecodingConfig
from zoo.registry import unknown_name

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


def decoding_config(options: Mapping[str, Any]) -> DecodingConfig:
    """The config of these options; `stop` may be one string.

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
    given = {name: value for name, value in options.items() if name in names}
    if isinstance(given.get("stop"), str):
        given["stop"] = [given["stop"]]
    with wrong.taken():
        config: DecodingConfig = build(DecodingConfig, given)
    wrong.raise_any()
    return config
