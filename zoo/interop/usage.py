"""How a foreign folder says that its model is used: what ends a text, chat template, pooling.

    generation_config.json (older ones: config.json)    eos_token_id, decoder_start_token_id, forced_bos_token_id,
                                                        forced_eos_token_id, bad_words_ids, suppress_tokens,
                                                        begin_suppress_tokens
    chat_template.jinja, tokenizer_config.json          the chat template and the special tokens that it may name
    modules.json and what belongs to it                 how a vector is made of a text (`sentence_transformers.py`)

What comes back is plain data, for `zoo.generation.conventions.Conventions`. Other settings of generation (temperature,
lengths, beams) are what the maker suggests (`suggestions.py`): they are kept, and nobody who calls `generate` here has
asked for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError
from zoo.interop.base import ARCHITECTURES, Architecture, fields_of_heads
from zoo.interop.folder import CONFIG_NAME, GENERATION_NAME
from zoo.interop.sentence_transformers import read_sentence_transformers
from zoo.interop.shards import MAX_BYTES, plain_file, plain_object
from zoo.interop.suggestions import suggested
from zoo.tokenizer.export import carried_settings, carried_tokens
from zoo.tokenizer.foreign import tokenizer_files
from zoo.tokenizer.special_tokens import FOREIGN_CONFIG, spelling

CARRIED: Mapping[str, tuple[str, ...]] = {
    CONFIG_NAME: (
        *("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id", "decoder_start_token_id"),
        *("forced_bos_token_id", "forced_eos_token_id", "id2label", "label2id", "problem_type"),
    ),
    GENERATION_NAME: ("bos_token_id", "pad_token_id"),
}
"""Fields of each file that transformers reads and our models have no place for, all or some of them.

What config.json says of heads is carried too: a base model says how a head on it would be made.
"""
TEMPLATE_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def read_usage(folder: Path) -> dict[str, Any]:
    """The conventions of a foreign folder as plain data, what is not said left out.

    Raises:
        CheckpointError: one of the files is damaged.
    """
    ends, vectors = _ends(folder), read_sentence_transformers(folder)
    carried = {**ends.get("carried", {}), **vectors.get("carried", {})}
    config, tokenizer_config = plain_object(folder, CONFIG_NAME), plain_object(folder, FOREIGN_CONFIG)
    settings = carried_settings(tokenizer_config, config, folder / FOREIGN_CONFIG)
    if config and tokenizer_files(folder)[0]:
        settings |= carried_tokens(folder)
    if settings:
        carried[FOREIGN_CONFIG] = settings
    return {**ends, **vectors, **_template(folder), **({"carried": carried} if carried else {})}


def _ends(folder: Path) -> dict[str, Any]:
    config = plain_object(folder, CONFIG_NAME)
    generation = plain_object(folder, GENERATION_NAME)
    alone = (folder / GENERATION_NAME).is_file()
    forced = generation if alone else _of_older_files(config)
    suggestions = {} if _kind(config) == "encoder" else suggested(forced, alone=alone)
    usage: dict[str, Any] = {}
    if stop := _ids(forced.get("eos_token_id"), folder, "eos_token_id"):
        usage["stop"] = stop
    if alone or stop:
        usage["end_stops"] = False  # transformers' generate looks at no tokenizer
    if config.get("is_encoder_decoder", _kind(config) == "encoder_decoder"):
        if start := _start(forced, config, folder):
            usage["start"] = start[0]
        if prefix := _ids(forced.get("forced_bos_token_id"), folder, "forced_bos_token_id"):
            usage["prefix"] = prefix
    elif forced.get("forced_bos_token_id") is not None:
        suggestions["forced_bos_token_id"] = forced["forced_bos_token_id"]
    if last := _ids(forced.get("forced_eos_token_id"), folder, "forced_eos_token_id"):
        usage["last"] = last
    if barred := _barred(forced, usage.get("stop", []), folder):
        usage["barred"] = barred
    if first := _ids(forced.get("begin_suppress_tokens"), folder, "begin_suppress_tokens"):
        usage["barred_first"] = first
    if suggestions:
        usage["suggestions"] = suggestions
    files = {CONFIG_NAME: config, GENERATION_NAME: generation}
    if "eos_token_id" in (defaults := _defaults(config)):  # whose place a classifier may read
        config.setdefault("eos_token_id", defaults["eos_token_id"])
    if there := {name: said for name, said in files.items() if (folder / name).is_file()}:
        usage["carried"] = _carried(there)
    return usage


def _start(forced: Mapping[str, Any], config: Mapping[str, Any], folder: Path) -> list[int]:
    """What an output begins with: as in transformers, `bos_token_id` where the file that generation reads has no other.

    Where that file has neither, which transformers refuses, config.json says it.
    """
    for said, name in (
        (forced, "decoder_start_token_id"),
        (forced, "bos_token_id"),
        (config, "decoder_start_token_id"),
    ):
        if start := _ids(said.get(name), folder, name):
            return start
    return []


def _carried(files: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each file what nothing here reads and `zoo.export` writes again; null is kept, since it is not a default."""
    table = _table(files.get(CONFIG_NAME, {}))
    of_heads = sorted(fields_of_heads(table)) if table is not None else []
    names = {**CARRIED, CONFIG_NAME: (*CARRIED[CONFIG_NAME], *of_heads)}
    return {file: {name: said[name] for name in names[file] if name in said} for file, said in files.items()}


def _kind(config: Mapping[str, Any]) -> str | None:
    """The family of the architecture, which the config may leave to it."""
    table = _table(config)
    return None if table is None else str(table.constant["kind"])


def _defaults(config: Mapping[str, Any]) -> Mapping[str, int]:
    """The ids that the architecture has where the config leaves them out."""
    table = _table(config)
    return {} if table is None else table.generation_defaults


def _table(config: Mapping[str, Any]) -> Architecture | None:
    """The architecture of a config, if it is one of ours."""
    name = config.get("model_type")
    return ARCHITECTURES[name] if isinstance(name, str) and name in ARCHITECTURES else None


def _of_older_files(config: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json says where there is no generation_config.json, with the defaults and spellings of its time."""
    forced = dict(_defaults(config))
    if config.get("force_bos_token_to_be_generated") is True:
        forced["forced_bos_token_id"] = config.get("bos_token_id", 0)
    return forced | dict(config)


def _barred(forced: Mapping[str, Any], stop: list[int], folder: Path) -> list[list[int]]:
    """Runs of ids that are never written; as in transformers, a bad word is none if it ends a text."""
    words = forced.get("bad_words_ids") or []
    if not isinstance(words, list):
        raise CheckpointError(f"{folder} is damaged: bad_words_ids is {words!r}, and not a list of lists of token ids")
    runs = [_ids(word, folder, "bad_words_ids") for word in words]
    single = _ids(forced.get("suppress_tokens"), folder, "suppress_tokens")
    return [run for run in runs if run and not (len(run) == 1 and run[0] in stop)] + [[id] for id in single]


def _ids(value: Any, folder: Path, name: str) -> list[int]:
    ids = [] if value is None else value if isinstance(value, list) else [value]
    if not all(type(id) is int and id >= 0 for id in ids):
        raise CheckpointError(f"{folder} is damaged: {name} is {value!r}, and not a token id or a list of them")
    return ids


def _template(folder: Path) -> dict[str, Any]:
    config = plain_object(folder, FOREIGN_CONFIG)
    source = config.get("chat_template")
    if (folder / "chat_template.jinja").is_file():
        file = plain_file(folder, "chat_template.jinja")
        if file.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{file} is damaged or foreign: at most {MAX_BYTES:,} bytes are read")
        try:
            source = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{file} cannot be read: {error}") from None
    if isinstance(source, list):  # several by name; the others are for tools and the like
        named = {one.get("name"): one.get("template") for one in source if isinstance(one, Mapping)}
        source = named.get("default")
    if not isinstance(source, str):
        return {}
    tokens = {**plain_object(folder, "special_tokens_map.json"), **config}
    spelt = {name: spelling(tokens.get(name)) for name in TEMPLATE_TOKENS}
    return {"template": {"source": source, "tokens": {name: token for name, token in spelt.items() if token}}}


# -------------------------------------------------------------------------------------------------------------- writing


def write_ids(usage: Mapping[str, Any], roles: Mapping[str, int], is_pair: bool) -> dict[str, Any]:
    """The way back: what transformers calls the ids that generation asks for, and what the maker suggests.

    Args:
        usage: the fields of the conventions, all of them.
        roles: the ids of the tokenizer's special tokens; {}: there is none.
        is_pair: whether the model is an encoder-decoder.
    """
    end = [roles["end"]] if usage["end_stops"] and "end" in roles else []
    ends = list(dict.fromkeys([*end, *usage["stop"]]))
    start, prefix, last, barred = usage["start"], usage["prefix"], usage["last"], usage["barred"]
    special = {"bos_token_id": roles.get("begin"), "pad_token_id": roles.get("padding")}
    if usage["carried"] is not None:  # a foreign folder said them, or that there are none
        special = dict(usage["carried"].get(GENERATION_NAME, usage["carried"].get(CONFIG_NAME, {})))
    found = {
        "bos_token_id": special.get("bos_token_id"),
        "eos_token_id": ends[0] if len(ends) == 1 else ends or None,
        "pad_token_id": special.get("pad_token_id"),
        "decoder_start_token_id": (roles.get("padding") if start is None else start) if is_pair else None,
        "forced_bos_token_id": prefix[0] if is_pair and len(prefix) == 1 else None,
        "forced_eos_token_id": last[0] if len(last) == 1 else [*last] or None,
        # Of single tokens that end a text, transformers bars only those of suppress_tokens.
        "bad_words_ids": [[*run] for run in barred if not {*run} <= {*ends} or len(run) > 1] or None,
        "suppress_tokens": [*dict.fromkeys(run[0] for run in barred if len(run) == 1 and run[0] in ends)] or None,
        "begin_suppress_tokens": [*usage["barred_first"]] or None,
    }
    return {name: value for name, value in (found | dict(usage["suggestions"] or {})).items() if value is not None}
