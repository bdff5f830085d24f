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
from typing import Any, Literal, NamedTuple

ROLES = ("padding", "unknown", "begin", "end", "classify", "separate", "mask")
NUM_SENTINELS = 100
FILE_NAME = "special_tokens.json"
FOREIGN_CONFIG = "tokenizer_config.json"
"""Where Hugging Face's folders say what tokenizer.json or an older file does not (beside.py)."""
Boundaries = Literal["spaces", "anywhere", "none"]

FAMILIES: dict[str, dict[str, str]] = {
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
"""The special tokens of our families: role → token."""


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
    return SpecialTokens(FAMILIES[family], sentinels)


def families_with(role: str) -> list[str]:
    """The families whose special tokens have `role`."""
    return [family for family, roles in FAMILIES.items() if role in roles]


def spelling(token: Any) -> str | None:
    """A special token as Hugging Face's files write it, a text or an object with its content; None: it is neither."""
    spelt = token.get("content") if isinstance(token, dict) else token
    return spelt if isinstance(spelt, str) else None
