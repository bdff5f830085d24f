"""The files beside a tokenizer that say which its special tokens are, ours and Hugging Face's.

    special_tokens.json                                 ours
    tokenizer_config.json, special_tokens_map.json      the tokens by name
    generation_config.json, config.json                 their ids, where those are silent

Where they name none for a role, the tokenizer's class (classes.py) decides, or what the vocabulary shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from zoo.errors import DataError, quoted
from zoo.tokenizer.classes import class_of, shown_tokens
from zoo.tokenizer.links import read_bytes
from zoo.tokenizer.special_tokens import FILE_NAME, FOREIGN_CONFIG, ROLES, SpecialTokens, spelling

NAMES = {
    "bos_token": "begin",
    "eos_token": "end",
    "unk_token": "unknown",
    "sep_token": "separate",
    "pad_token": "padding",
    "cls_token": "classify",
    "mask_token": "mask",
}
"""What they call each role, in the order in which transformers adds those that a vocabulary lacks."""
MAP_NAME = "special_tokens_map.json"
MAX_BYTES = 16 << 20


def read_special_tokens(folder: Path, known: Mapping[str, int], older: bool = False) -> SpecialTokens:
    """The special tokens of the tokenizer in a folder.

    A role that no file names has the token that the tokenizer's class takes for granted. Where the class is the generic
    one, only what is named counts, or else what the vocabulary shows.

    Args:
        folder: of the tokenizer's files. A folder of ours says them in special_tokens.json.
        known: its vocabulary, token → id.
        older: whether it is in files that are older than tokenizer.json, whose text needs all roles of its class.

    Raises:
        DataError: a file is damaged, or names a token that the vocabulary lacks.
    """
    own = folder / FILE_NAME
    if own.is_file():
        return _own(own, read_object(own), known)
    config, model_config = read_object(folder / FOREIGN_CONFIG), read_object(folder / "config.json")
    said = {name: (given, folder / FOREIGN_CONFIG) for name, given in config.items()}
    if "added_tokens_decoder" not in config:  # as in transformers, which then reads no older file
        older_file = folder / MAP_NAME
        said |= {name: (given, older_file) for name, given in read_object(older_file).items()}
    named = _by_name(said, known)
    taken = {role: token for role, token in class_of(config, model_config).tokens.items() if token in known}
    shown = shown_tokens(known) if taken or older or not named else {}
    ids = _by_id((read_object(folder / "generation_config.json"), model_config), known)
    # The first that has a role decides. A class knows better than the ids of a model's config, a guess does not.
    first_to_last = (named, taken, ids, shown) if taken else (named, shown, ids)
    roles = {role: token for found in reversed(first_to_last) for role, token in found.items()}
    return SpecialTokens(roles, _sentinels(known))


def named_tokens(folder: Path) -> dict[str, str]:
    """The special tokens that the files of a folder name, role → token; the vocabulary need not have them.

    Raises:
        DataError: a file is damaged.
    """
    said = said_tokens(folder)
    return {role: token for name, role in NAMES.items() if (token := spelling(said.get(name)))}


def said_tokens(folder: Path) -> dict[str, Any]:
    """tokenizer_config.json with what special_tokens_map.json says beside it, where that counts.

    Raises:
        DataError: a file is damaged.
    """
    said = read_object(folder / FOREIGN_CONFIG)
    if said.get("additional_special_tokens") is not None and not said.get("extra_special_tokens"):
        said["extra_special_tokens"] = said.pop("additional_special_tokens")
    return said if "added_tokens_decoder" in said else said | read_object(folder / MAP_NAME)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds names and values, {} where there is none; DataError where it is damaged."""
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        content = json.loads(read_bytes(path).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a JSON object, not {type(content).__name__}")
    return content


def _by_name(said: Mapping[str, tuple[Any, Path]], known: Mapping[str, int]) -> dict[str, str]:
    """The roles that are named: each name with what is given for it, and the file that gives it."""
    roles = {}
    for name, role in NAMES.items():
        given, path = said.get(name, (None, None))
        if given is None:
            continue
        token = spelling(given)
        if token is None or token not in known:
            raise DataError(f"{path} says {name} is {quoted(token or given)}, which the vocabulary beside it lacks")
        roles[role] = token
    return roles


def _by_id(files: Iterable[Mapping[str, Any]], known: Mapping[str, int]) -> dict[str, str]:
    """The roles that ids in the configs of a model have, the first file before the later ones: the youngest first."""
    spelt = {id: token for token, id in known.items()}
    roles: dict[str, str] = {}
    for settings in files:
        for name, role in NAMES.items():
            ids = settings.get(f"{name}_id")
            tokens = [spelt[id] for id in (ids if isinstance(ids, list) else [ids]) if type(id) is int and id in spelt]
            if tokens:
                roles.setdefault(role, tokens[0])
    return roles


def _sentinels(known: Mapping[str, int]) -> tuple[str, ...]:
    sentinels: list[str] = []
    while f"<extra_id_{len(sentinels)}>" in known:
        sentinels.append(f"<extra_id_{len(sentinels)}>")
    return tuple(sentinels)


def _own(path: Path, content: Mapping[str, Any], known: Mapping[str, int]) -> SpecialTokens:
    """What a special_tokens.json says."""
    roles, sentinels = content.get("roles"), content.get("sentinels")
    fits = (
        isinstance(roles, dict)
        and all(role in ROLES and isinstance(token, str) for role, token in roles.items())
        and isinstance(sentinels, list)
        and all(isinstance(token, str) for token in sentinels)
        and content.get("boundaries") in ("spaces", "anywhere", "none")
        and isinstance(content.get("closed"), bool)
    )
    if not fits:
        raise DataError(f"{path} is damaged: it must hold roles, sentinels, boundaries and closed")
    assert isinstance(roles, dict)
    assert isinstance(sentinels, list)
    absent = [token for token in [*roles.values(), *sentinels] if token not in known]
    if absent:
        raise DataError(f"{path} names the token {absent[0]!r}, which tokenizer.json beside it lacks")
    return SpecialTokens(roles, tuple(sentinels), content["boundaries"], content["closed"])
