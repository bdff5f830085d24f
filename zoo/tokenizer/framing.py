"""Which special tokens stand around a text in each family, for files that are older than tokenizer.json and do not say.

BERT puts [CLS] before a text and [SEP] behind it, RoBERTa and BART <s> and </s>, T5 and Marian only </s>, Llama and
Gemma only a first token, GPT-2 nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tokenizers
from tokenizers import processors

from zoo.tokenizer.classes import stem_of
from zoo.tokenizer.special_tokens import SpecialTokens


class Frame(NamedTuple):
    """Roles of the tokens around a text, and around a second one behind it.

    Attributes:
        before, after: around the text.
        pair_before, pair_after: around the second.
    """

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    pair_before: tuple[str, ...] = ()
    pair_after: tuple[str, ...] = ()


_BERT = Frame(("classify",), ("separate",), (), ("separate",))
_ROBERTA = Frame(("classify",), ("separate",), ("separate",), ("separate",))
_T5 = Frame((), ("end",), (), ("end",))
_BEGIN = Frame(("begin",), (), ("begin",), ())
FRAMES: Mapping[str, Frame] = {
    **dict.fromkeys(("bert", "distilbert", "electra", "mobilebert", "albert"), _BERT),
    **dict.fromkeys(("roberta", "bart", "longformer", "xlmroberta", "camembert"), _ROBERTA),
    **dict.fromkeys(("t5", "mt5", "marian"), _T5),
    **dict.fromkeys(("llama", "mistral", "gemma", "gemma2"), _BEGIN),
}
"""Family, as it is called in `tokenizer_class` without "Tokenizer" or in `model_type`, in small letters → its frame."""


def family_of(tokenizer_config: Mapping[str, Any], model_config: Mapping[str, Any]) -> str:
    """The family of a folder by its tokenizer_config.json, or else its config.json; "" where neither says."""
    name = tokenizer_config.get("tokenizer_class") or model_config.get("tokenizer_class")
    return stem_of(name) or stem_of(model_config.get("model_type"))


def frame_of(family: str, tokenizer_config: Mapping[str, Any]) -> Frame:
    """The frame of a family; `add_bos_token` and `add_eos_token` decide where they are legal (Llama, Gemma)."""
    frame = FRAMES.get(family, Frame())
    if frame not in (_BEGIN, Frame()):
        return frame
    begins = ("begin",) if tokenizer_config.get("add_bos_token", frame is _BEGIN) else ()
    ends = ("end",) if tokenizer_config.get("add_eos_token", False) else ()
    return Frame(begins, ends, begins, ends)


def put_frame(library: tokenizers.Tokenizer, frame: Frame, special: SpecialTokens) -> None:
    """Gives a tokenizer its frame; a role that it has no token for drops out."""
    before, after, pair_before, pair_after = (
        [special.roles[role] for role in roles if role in special.roles] for roles in frame
    )
    tokens = {*before, *after, *pair_before, *pair_after}
    if tokens:
        library.post_processor = processors.TemplateProcessing(
            single=[*before, "$A", *after],
            pair=[*before, "$A", *after, *pair_before, "$B:1", *(f"{token}:1" for token in pair_after)],
            special_tokens=[(token, library.token_to_id(token)) for token in sorted(tokens)],
        )
