"""Special tokens: which ones each family has, and the role that each of them plays.

Code asks for a role ("mask", "end"), never for a spelling, so that one objective serves tokenizers of any origin.

    bert  [PAD] [UNK] [CLS] [SEP] [MASK]                        Devlin et al. 2018, arXiv:1810.04805
    gpt   <|endoftext|>, which begins, ends and pads            Radford et al. 2019 (GPT-2)
    t5    <pad> </s> <unk> and 100 sentinels <extra_id_…>       Raffel et al. 2019, arXiv:1910.10683

The front tokens take the first ids in the order above. The sentinels take the last ids, <extra_id_0> the very last one,
as T5's own vocabulary has it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from zoo.errors import DataError

ROLES = ("padding", "unknown", "begin", "end", "classify", "separate", "mask")
NUM_SENTINELS = 100
FILE_NAME = "special_tokens.json"
FOREIGN_CONFIG = "tokenizer_config.json"
"""Where Hugging Face's folders say what tokenizer.json or an older file does not."""
Boundaries = Literal["spaces", "anywhere", "none"]

_FAMILIES: dict[str, dict[str, str]] = {
    "bert": {
        "padding": "[PAD]",
        "unknown": "[UNK]",
        "classify": "[CLS]",
        "separate": "[SEP]",
        "mask": "[MASK]",
    },
    "gpt": {"padding": "<|endoftext|>", "begin": "<|endoftext|>", "end": "<|endoftext|>"},
    "t5": {"padding": "<pad>", "end": "</s>", "unknown": "<unk>"},
}
# What Hugging Face's special_tokens_map.json and tokenizer_config.json call each role.
_FOREIGN_NAMES = {
    "pad_token": "padding",
    "unk_token": "unknown",
    "bos_token": "begin",
    "eos_token": "end",
    "cls_token": "classify",
    "sep_token": "separate",
    "mask_token": "mask",
}


class SpecialTokens(NamedTuple):
    """What a tokenizer.json does not say about itself.

    Attributes:
        roles: role → token, as it is spelt.
        sentinels: spellings of <extra_id_0>, <extra_id_1>, …; () outside T5.
        boundaries: where a text can be cut without changing its ids: before a space that follows a non-space
            ("spaces"), between any two characters ("anywhere"), or nowhere for certain ("none", foreign tokenizers).
        closed: True where a character outside the vocabulary has no id at all and must be refused.
    """

    roles: Mapping[str, str]
    sentinels: tuple[str, ...] = ()
    boundaries: Boundaries = "none"
    closed: bool = False

    @property
    def front(self) -> list[str]:
        """The tokens that take the first ids, each once, in their family's order."""
        return list(dict.fromkeys(self.roles.values()))

    def to_json(self) -> str:
        """The content of special_tokens.json."""
        return json.dumps({**self._asdict(), "roles": dict(self.roles)}, indent=1, ensure_ascii=False)


def family_tokens(family: str) -> SpecialTokens:
    """The special tokens of `family` ("bert", "gpt" or "t5")."""
    sentinels = tuple(f"<extra_id_{n}>" for n in range(NUM_SENTINELS)) if family == "t5" else ()
    return SpecialTokens(_FAMILIES[family], sentinels)


def families_with(role: str) -> list[str]:
    """The families whose special tokens have `role`."""
    return [family for family, roles in _FAMILIES.items() if role in roles]


def read_special_tokens(folder: Path, known: Mapping[str, int]) -> SpecialTokens:
    """The special tokens of the tokenizer saved in `folder`; `known` maps each token of its vocabulary to its id.

    A folder of ours says it in special_tokens.json. A foreign one says it in the files that Hugging Face writes; where
    those are missing, a vocabulary that has every special token of one family is of that family. Raises DataError on a
    damaged file.
    """
    own = folder / FILE_NAME
    if own.is_file():
        return _from_own(own, _read_json(own), known)
    sentinels = _sentinels(known)
    roles: dict[str, str] = {}
    for name in (FOREIGN_CONFIG, "special_tokens_map.json"):
        path = folder / name
        if path.is_file():
            roles |= _foreign_roles(path, _read_json(path), known)
    if not roles:
        families = [roles for roles in _FAMILIES.values() if all(token in known for token in roles.values())]
        roles = families[0] if families else {}
    return SpecialTokens(roles, sentinels)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} must hold a JSON object, not {type(content).__name__}")
    return content


def _from_own(path: Path, content: dict[str, Any], known: Mapping[str, int]) -> SpecialTokens:
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


def _foreign_roles(path: Path, content: dict[str, Any], known: Mapping[str, int]) -> dict[str, str]:
    roles = {}
    for name, role in _FOREIGN_NAMES.items():
        token = content.get(name)
        if isinstance(token, dict):
            token = token.get("content")
        if token is None:
            continue
        if not isinstance(token, str) or token not in known:
            raise DataError(f"{path} says {name} is {token!r}, which the vocabulary beside it lacks")
        roles[role] = token
    return roles


def _sentinels(known: Mapping[str, int]) -> tuple[str, ...]:
    sentinels: list[str] = []
    while f"<extra_id_{len(sentinels)}>" in known:
        sentinels.append(f"<extra_id_{len(sentinels)}>")
    return tuple(sentinels)
