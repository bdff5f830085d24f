"""The files beside a tokenizer that say which its special tokens are, ours and Hugging Face's.

    special_tokens.json                                 ours
    tokenizer_config.json, special_tokens_map.json      the tokens by name
    generation_config.json, config.json                 their ids, where those are silent

Where no file names a token, a vocabulary that has every special token of a family is of that family.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.errors import DataError
from zoo.tokenizer.special_tokens import FAMILIES, FILE_NAME, FOREIGN_CONFIG, ROLES, SpecialTokens

NAMES = {
    "pad_token": "padding",
    "unk_token": "unknown",
    "bos_token": "begin",
    "eos_token": "end",
    "cls_token": "classify",
    "sep_token": "separate",
    "mask_token": "mask",
}
"""What they call each role."""
MAX_BYTES = 16 << 20
KNOWN = (
    *FAMILIES.values(),
    {
        "begin": "<s>",
        "padding": "<pad>",
        "end": "</s>",
        "unknown": "<unk>",
        "classify": "<s>",
        "separate": "</s>",
        "mask": "<mask>",
    },
    {
        "padding": "<pad>",
        "unknown": "<unk>",
        "begin": "[CLS]",
        "end": "[SEP]",
        "classify": "[CLS]",
        "separate": "[SEP]",
        "mask": "[MASK]",
    },
    {"begin": "<s>", "end": "</s>", "unknown": "<unk>"},
    {"begin": "<bos>", "end": "<eos>", "unknown": "<unk>", "padding": "<pad>"},
)
"""The special tokens of families: BERT's, GPT-2's, T5's, RoBERTa's, ALBERT's, Llama's, Gemma's."""


def read_special_tokens(folder: Path, known: Mapping[str, int]) -> SpecialTokens:
    """The special tokens of the tokenizer in a folder.

    Args:
        folder: of the tokenizer's files. A folder of ours says them in special_tokens.json.
        known: its vocabulary, token → id.

    Raises:
        DataError: a file is damaged, or names a token that the vocabulary lacks.
    """
    own = folder / FILE_NAME
    if own.is_file():
        return _own(own, read_object(own), known)
    named = _by_name(folder / FOREIGN_CONFIG, known) | _by_name(folder / "special_tokens_map.json", known)
    # RoBERTa's tokens hold T5's: of the families that fit, the one with the most tokens is meant.
    families = sorted((family for family in KNOWN if all(token in known for token in family.values())), key=len)
    roles = named or dict(families[-1] if families else {})
    spelt = {id: token for token, id in known.items()}
    # Of the two, generation_config.json is the younger.
    for settings in (read_object(folder / "generation_config.json"), read_object(folder / "config.json")):
        for name, role in NAMES.items():
            ids = settings.get(f"{name}_id")
            tokens = [spelt[id] for id in (ids if isinstance(ids, list) else [ids]) if type(id) is int and id in spelt]
            if tokens:
                roles.setdefault(role, tokens[0])
    return SpecialTokens(roles, _sentinels(known))


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds names and values, {} where there is none; DataError where it is damaged."""
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a JSON object, not {type(content).__name__}")
    return content


def spelling(token: Any) -> str | None:
    """A special token as these files write it: a text, or an object with its content."""
    spelt = token.get("content") if isinstance(token, dict) else token
    return spelt if isinstance(spelt, str) else None


def _by_name(path: Path, known: Mapping[str, int]) -> dict[str, str]:
    roles = {}
    for name, role in NAMES.items():
        given = read_object(path).get(name)
        if given is None:
            continue
        token = spelling(given)
        if token is None or token not in known:
            raise DataError(f"{path} says {name} is {token!r}, which the vocabulary beside it lacks")
        roles[role] = token
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
