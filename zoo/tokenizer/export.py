"""A tokenizer in the files that transformers opens as it is: tokenizer.json and tokenizer_config.json.

One that cuts what a decoder writes otherwise than what it is asked goes out as Marian's files (marian.py) in place of
the first.

The ids are ours: the file is written for the class that runs it unchanged. A tokenizer of our own says nothing about
the special tokens around a text, since an objective puts them there; the file then has those that its kind of model is
trained with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers

from zoo.errors import ConfigError, DataError, quoted
from zoo.tokenizer.beside import extra_tokens, own_names, rebuilt
from zoo.tokenizer.classes import class_of
from zoo.tokenizer.framing import Frame, put_frame
from zoo.tokenizer.library import guarded
from zoo.tokenizer.marian import OPENED_BY, write_marian
from zoo.tokenizer.special_files import NAMES, read_object, said_tokens
from zoo.tokenizer.special_tokens import FOREIGN_CONFIG, spelling
from zoo.tokenizer.tokenizer import LIBRARY_FILE_NAME, Tokenizer

OWN_CLASS = "PreTrainedTokenizerFast"
"""The class that runs tokenizer.json as it is."""
FRAMES = {
    "encoder": Frame(("classify",), ("separate",), (), ("separate",)),
    "decoder": Frame(),
    "encoder_decoder": Frame((), ("end",), (), ("end",)),
}
"""What the objectives of each kind of model put around a text."""
SIDES = ("padding_side", "truncation_side")
CARRIED = (
    *SIDES,
    "clean_up_tokenization_spaces",
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
    "model_max_length",
    "source_lang",
    "target_lang",
)
"""Fields of a foreign tokenizer_config.json that change what transformers does with a tokenizer and none of its ids."""
TAKEN = {**dict.fromkeys(SIDES, "right"), **dict.fromkeys(CARRIED[2:4], False)}
"""What the class of an export takes where these are not said; it is not carried."""

NO_LENGTH = int(1e20)
"""From here on a `model_max_length` is what transformers writes where nothing limits a text."""


def carried_settings(
    tokenizer_config: Mapping[str, Any], model_config: Mapping[str, Any], place: Path
) -> dict[str, Any]:
    """What a foreign folder says of its tokenizer that nothing here does and an export says again, defaults left out.

    Args:
        tokenizer_config, model_config: the content of tokenizer_config.json and config.json, {} where there is none.
        place: of the first, for the error.

    Raises:
        DataError: a side is neither "left" nor "right".
    """
    said = {name: tokenizer_config[name] for name in CARRIED if tokenizer_config.get(name) not in (None, False)}
    kind = class_of(tokenizer_config, model_config)
    length = said.setdefault("model_max_length", kind.max_length)
    if length is None or (isinstance(length, (int, float)) and length >= NO_LENGTH):
        del said["model_max_length"]
    for name in SIDES:
        if said.get(name, "left") not in ("left", "right"):
            raise DataError(f"{place}: {name} must be 'left' or 'right', not {quoted(said[name])}")
    # Written unless it is what the export's own class does.
    said.setdefault("padding_side", kind.padding_side)
    return {name: value for name, value in said.items() if TAKEN.get(name) != value}


SEGMENTS = "token_type_ids"
"""What says which of two texts a token is of."""


def carried_tokens(folder: Path) -> dict[str, Any]:
    """What a foreign folder calls its special tokens and gives a model, where the roles here do not say it.

    Args:
        folder: with a tokenizer.

    Returns:
        Fields of tokenizer_config.json: `model_input_names`, the special tokens without a name, and those under names
        of the model's own; None for each name that has no token there, though one may play that role here.

    Raises:
        DataError: a file is damaged.
    """
    said = said_tokens(folder)
    kind = class_of(said, read_object(folder / "config.json"))
    given = said.get("model_input_names")
    names = given if isinstance(given, list) else _input_names(kind.tells_segments)
    absent = (name for name, role in NAMES.items() if said.get(name) is None and role not in kind.tokens)
    fields: dict[str, Any] = {"model_input_names": names, **dict.fromkeys(absent)}
    extras = extra_tokens(said, kind)
    if not kind.has_sentinels or extras != extra_tokens({}, kind):
        fields["additional_special_tokens"] = [*map(spelling, extras)] or None
    if own := own_names(said):
        fields["extra_special_tokens"] = {name: spelling(token) for name, token in own.items()}
    return fields


def _input_names(segments: bool) -> list[str]:
    return ["input_ids", *([SEGMENTS] if segments else []), "attention_mask"]


def write_for_transformers(
    tokenizer: Tokenizer, folder: Path, kind: str, said: Mapping[str, Any], has_segments: bool, architecture: str = ""
) -> None:
    """Writes the files.

    Args:
        tokenizer: ours.
        folder: exists.
        kind: of the model: "encoder", "decoder", "encoder_decoder".
        said: further fields of tokenizer_config.json (the template of chats, the longest text, what a foreign folder
            says); None: not even what follows from a role.
        has_segments: whether the model tells two texts apart (token_type_ids).
        architecture: that the model is written as; "": none whose folders transformers opens with a class of its own.

    Raises:
        ConfigError: it is one whose folders transformers opens with a class that makes other ids.
    """
    fields: dict[str, Any] = {
        **_write_vocabulary(tokenizer, folder, kind, architecture),
        "clean_up_tokenization_spaces": False,
        "model_input_names": _input_names(has_segments),
    }
    fields |= {name: tokenizer.token(tokenizer.roles[role]) for name, role in NAMES.items() if role in tokenizer.roles}
    if tokenizer.sentinels:
        fields["additional_special_tokens"] = [tokenizer.token(id) for id in tokenizer.sentinels]
    fields |= said
    if not has_segments:  # no row of theirs but the first is there
        fields["model_input_names"] = [name for name in fields["model_input_names"] if name != SEGMENTS]
    fields = {name: value for name, value in fields.items() if value is not None}
    (folder / FOREIGN_CONFIG).write_text(json.dumps(fields, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _write_vocabulary(tokenizer: Tokenizer, folder: Path, kind: str, architecture: str) -> dict[str, Any]:
    """Writes tokenizer.json, or Marian's files where what a decoder writes is cut otherwise, which that cannot say.

    Returns:
        What tokenizer_config.json says of them.
    """
    if tokenizer.for_targets is tokenizer:
        definition = json.loads(framed_definition(tokenizer, kind))
        _check_class(definition, architecture)
        definition |= {"truncation": None, "padding": None}
        (folder / LIBRARY_FILE_NAME).write_text(json.dumps(definition, ensure_ascii=False, indent=1), encoding="utf-8")
        return {"tokenizer_class": OWN_CLASS}
    write_marian(tokenizer.definition, tokenizer.for_targets.definition, folder)
    added = json.loads(tokenizer.definition)["added_tokens"]
    numbered = {str(token["id"]): {name: said for name, said in token.items() if name != "id"} for token in added}
    return {"tokenizer_class": OPENED_BY, "added_tokens_decoder": numbered}


def _check_class(definition: dict[str, Any], architecture: str) -> None:
    kind = class_of({"tokenizer_class": OWN_CLASS}, {"model_type": architecture})
    made = rebuilt(definition, kind, {})
    if any(made.get(part) != definition.get(part) for part in ("normalizer", "pre_tokenizer", "model")):
        raise ConfigError(
            f"transformers opens the tokenizer of each {architecture} folder with a class of its own, which would make "
            "other ids of a text than this tokenizer does; name another architecture (llama, where that takes the "
            "model), or export the model alone (`.model`)",
            "architecture",
        )


def framed_definition(tokenizer: Tokenizer, kind: str) -> str:
    """The text of its tokenizer.json, with a frame around texts."""
    if tokenizer.is_framed:
        return tokenizer.definition
    with guarded("frame the tokenizer", DataError):
        library = tokenizers.Tokenizer.from_str(tokenizer.definition)
        put_frame(library, FRAMES[kind], tokenizer.special)
        return str(library.to_str(pretty=True))
