"""How a folder of sentence-transformers says that one vector is made of a text, in and out.

Reimers & Gurevych 2019, arXiv:1908.10084; the formats are those of the library up to its version 6.

    modules.json, and the config.json of its pooling    what is done with the hidden states
    config_sentence_transformers.json                   the prompt before each text
    sentence_bert_config.json (older: other names)      how many tokens of a text are read, `max_seq_length`
    tokenizer_config.json, config.json                  the same where that file does not say it, as since version 5

What comes back is plain data, for `zoo.generation.conventions.Conventions`. What we cannot do keeps its name as part of
the pooling's, so that `embed` refuses it by that name. The other prompts of a folder, and how it compares vectors, are
kept and written again. What is written, every version of the library reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.checkpoint.disk import read_json
from zoo.errors import CheckpointError, quoted
from zoo.interop.folder import CONFIG_NAME
from zoo.interop.shards import MAX_BYTES, plain_file, plain_object
from zoo.tokenizer.export import NO_LENGTH

MODULES_NAME = "modules.json"
PROMPTS_NAME = "config_sentence_transformers.json"
READING_NAMES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""Where it is said how a text is read; the first that is there counts."""
POOLINGS = {"mean": "mean", "mean_tokens": "mean", "cls": "first", "cls_token": "first", "lasttoken": "last"}
"""sentence-transformers' name of a pooling (`pooling_mode`, or one of `pooling_mode_…`) → ours."""
POOLING_FIELDS = {
    "first": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "last": "pooling_mode_lasttoken",
}
"""Our name of a pooling → the field that asks for it, in the spelling of every version."""
CARRIED = ("default_prompt_name", "prompts", "similarity_fn_name")
"""Fields of config_sentence_transformers.json that are written again."""
PLAIN_MODULES = ("Transformer", "Pooling", "Normalize")
PLAIN_READING: Mapping[str, Any] = {
    "do_lower_case": False,
    "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
    "module_output_name": "token_embeddings",
    "processing_kwargs": {},
    "processor_kwargs": {},
    "query_expansion": {},
    "tokenizer_args": {},
    "transformer_task": "feature-extraction",
}
"""Settings of how a text is read whose other values would change its vector → the value that means what we do."""


def read_sentence_transformers(folder: Path) -> dict[str, Any]:
    """The conventions of a folder with modules.json as plain data; {} of any other.

    Raises:
        CheckpointError: one of the files is damaged.
    """
    path = folder / MODULES_NAME
    modules = read_json(plain_file(folder, MODULES_NAME), MAX_BYTES) if path.is_file() else None
    if modules is None:
        return {}
    if not isinstance(modules, list):
        raise CheckpointError(f"{path}: {quoted(modules)} is no list of the model's parts; take another copy of it")
    found = [module for module in modules if isinstance(module, Mapping)]
    kinds = [str(module.get("type")).rpartition(".")[2] for module in found]
    pooling: dict[str, Any] = {}
    for kind, module in zip(kinds, found, strict=True):
        if kind == "Pooling":
            pooling = _module_config(folder, module.get("path"))
    modes = _modes(pooling)
    if not modes and any(name.startswith("pooling_mode") for name in pooling):
        raise CheckpointError(f"{folder}: its Pooling asks for no pooling at all; set one of its pooling_mode fields")
    names = [POOLINGS.get(mode, mode) for mode in modes]
    names += [kind for kind in kinds if kind not in PLAIN_MODULES]
    prompt = _default_prompt(folder)
    if prompt and pooling.get("include_prompt") is False:
        names.append("include_prompt=false")
    reading = _reading(folder)
    names += [f"{name}={reading[name]!r}" for name, plain in PLAIN_READING.items() if _asks(reading.get(name), plain)]
    tokenizer = plain_object(folder, "tokenizer_config.json")
    length = _max_length(folder, reading, tokenizer)
    if length and tokenizer.get("truncation_side", "right") != "right":
        names.append(f"truncation_side={tokenizer['truncation_side']!r}")
    usage: dict[str, Any] = {"normalize": "Normalize" in kinds, "pooling": " + ".join(names)}
    usage |= {"prompt": prompt, "max_length": length}
    prompts = plain_object(folder, PROMPTS_NAME)
    if carried := {name: prompts[name] for name in CARRIED if prompts.get(name) is not None}:
        usage["carried"] = {PROMPTS_NAME: carried}
    return {name: value for name, value in usage.items() if value not in ("", None)}


def _modes(pooling: Mapping[str, Any]) -> list[str]:
    """The names of the poolings that are asked for: one name or several, and in older files a field for each."""
    modes = pooling.get("pooling_mode", [])
    older = [name for name, chosen in pooling.items() if name.startswith("pooling_mode_") and chosen is True]
    return [str(mode) for mode in (modes if isinstance(modes, list) else [modes])] or [
        name.removeprefix("pooling_mode_") for name in older
    ]


def _asks(value: Any, plain: Any) -> bool:
    return value is not None and value != plain


def _max_length(folder: Path, reading: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> int | None:
    """How many tokens of a text are read, special ones included; None: all.

    As in sentence-transformers, `max_seq_length` alone counts where it is said, or else the smaller of what the
    tokenizer's file says and how many positions config.json says that there are.
    """
    config = plain_object(folder, CONFIG_NAME)
    said = {"max_seq_length": reading.get("max_seq_length")}
    if said["max_seq_length"] is None:
        names = ("max_position_embeddings", "n_positions")
        said = {"model_max_length": tokenizer.get("model_max_length"), **{name: config.get(name) for name in names}}
    for name, value in said.items():
        whole = type(value) is int or (isinstance(value, float) and value.is_integer())
        if value is not None and not (whole and value >= 1):
            raise CheckpointError(f"{folder} is damaged: {name} is {value!r}, and not a number of tokens")
    lengths = [int(value) for value in said.values() if value is not None and value < NO_LENGTH]
    return min(lengths, default=None)


def _reading(folder: Path) -> dict[str, Any]:
    """What the folder says of how a text is read; {} where it says nothing."""
    return next((found for name in READING_NAMES if (found := plain_object(folder, name))), {})


def _module_config(folder: Path, path: Any) -> dict[str, Any]:
    """The config of a module of modules.json, which lies in a folder in the model's own."""
    if not isinstance(path, str) or path in ("", ".", "..") or Path(path).name != path:
        raise CheckpointError(f"{folder / MODULES_NAME} is damaged: path must be a folder beside it, not {path!r}")
    if not (folder / path / CONFIG_NAME).is_file():
        raise CheckpointError(
            f"{folder / path / CONFIG_NAME} is missing: modules.json says that it holds how vectors are pooled; fetch "
            "the folder again"
        )
    return plain_object(folder, f"{path}/{CONFIG_NAME}")


def _default_prompt(folder: Path) -> str:
    """What is put before each text unasked; "" is nothing."""
    config = plain_object(folder, PROMPTS_NAME)
    chosen, prompts = config.get("default_prompt_name"), config.get("prompts")
    if chosen is None:
        return ""
    prompt = prompts.get(chosen) if isinstance(prompts, Mapping) and isinstance(chosen, str) else None
    if not isinstance(prompt, str):
        raise CheckpointError(
            f"{folder / PROMPTS_NAME} is damaged: prompts has no {chosen!r}, which default_prompt_name says"
        )
    return prompt


# -------------------------------------------------------------------------------------------------------------- writing


def write_sentence_transformers(usage: Mapping[str, Any], dim: int, folder: Path) -> None:
    """Writes what says how one vector is made of a text, if anything is said of that and nothing of it is unknown.

    Args:
        usage: the conventions that differ from the defaults, as plain data; those are the library's, too.
        dim: width of the hidden states.
        folder: exists.
    """
    prompts = dict(usage.get("carried", {}).get(PROMPTS_NAME, {}))
    if not {"pooling", "normalize", "prompt", "max_length"} & {*usage} and not prompts:
        return
    if unwritten(usage):
        return
    pooling = {field: name == usage.get("pooling", "mean") for name, field in POOLING_FIELDS.items()}
    kinds = ["Transformer", "Pooling", *(["Normalize"] if usage.get("normalize") else [])]
    paths = [f"{number}_{kind}" if number else "" for number, kind in enumerate(kinds)]
    _write(
        folder / MODULES_NAME,
        [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for number, (kind, path) in enumerate(zip(kinds, paths, strict=True))
        ],
    )
    for path in filter(None, paths):
        (folder / path).mkdir()
        _write(
            folder / path / CONFIG_NAME, {} if path == "2_Normalize" else {"word_embedding_dimension": dim, **pooling}
        )
    _write(folder / READING_NAMES[0], {"max_seq_length": usage.get("max_length"), "do_lower_case": False})
    _write(folder / PROMPTS_NAME, prompts | _with_default(prompts, usage.get("prompt", "")))


def unwritten(usage: Mapping[str, Any]) -> str:
    """What is known of how vectors are made and cannot be written, since its parts are not here; "": nothing."""
    pooling: str = usage.get("pooling", "mean")
    return "" if pooling in POOLING_FIELDS else pooling


def _with_default(prompts: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    """The fields that put a prompt before each text unasked, by the name that it has already, if it has."""
    named, chosen = prompts.get("prompts", {}), prompts.get("default_prompt_name")
    named = named if isinstance(named, Mapping) else {}
    if not prompt:
        return {"default_prompt_name": None}
    if named.get(chosen) == prompt:
        return {}
    name = next((name for name, said in named.items() if said == prompt), "default")
    return {"default_prompt_name": name, "prompts": {**named, name: prompt}}


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
