"""Which special tokens stand around a text, and around a second one behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tokenizers
from tokenizers import processors

from zoo.tokenizer.special_tokens import SpecialTokens


class Frame(NamedTuple):
    """Roles of the tokens around a text and around a second one behind it; or, as `spelt` gives it, those tokens.

    Attributes:
        before, after: around the text.
        pair_before, pair_after: around the second.
        ends_first: whether `after` stands behind the first of two texts, too.
        second_segment: of the second text (`token_type_ids`).
    """

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    pair_before: tuple[str, ...] = ()
    pair_after: tuple[str, ...] = ()
    ends_first: bool = True
    second_segment: int = 1

    @property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        """What stands at each place."""
        return self[:4]

    def spelt(self, roles: Mapping[str, str]) -> Frame:
        """The frame in tokens, by role → token; a role that has none drops out."""

        def of(part: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(roles[role] for role in part if role in roles)

        before, after, pair_before, pair_after = map(of, self.parts)
        return self._replace(before=before, after=after, pair_before=pair_before, pair_after=pair_after)

    def said(self, tokenizer_config: Mapping[str, Any]) -> Frame:
        """The frame with `add_bos_token` and `add_eos_token`, which decide where they are legal (Llama, GPT-2)."""
        if self not in (BEGINNING, NOTHING):
            return self
        begins = ("begin",) if tokenizer_config.get("add_bos_token", self == BEGINNING) else ()
        ends = ("end",) if tokenizer_config.get("add_eos_token", False) else ()
        return Frame(begins, ends, begins, ends)


NOTHING = Frame()
BEGINNING = Frame(("begin",), (), ("begin",), ())
"""A first token alone."""


def template(tokens: Frame, ids: Mapping[str, int]) -> processors.TemplateProcessing:
    """The library's form of a frame in tokens, with the id of each."""
    before, after, pair_before, pair_after = tokens.parts
    between, second = [*(after if tokens.ends_first else ()), *pair_before], tokens.second_segment
    return processors.TemplateProcessing(
        single=[*before, "$A", *after],
        pair=[*before, "$A", *between, f"$B:{second}", *(f"{token}:{second}" for token in pair_after)],
        special_tokens=[(token, ids[token]) for token in sorted({*before, *after, *pair_before, *pair_after})],
    )


def put_frame(library: tokenizers.Tokenizer, frame: Frame, special: SpecialTokens) -> None:
    """Gives a tokenizer its frame, in roles; where none of them has a token it stays as it is."""
    tokens = frame.spelt(special.roles)
    if any(tokens.parts):
        ids: dict[str, Any] = {token: library.token_to_id(token) for part in tokens.parts for token in part}
        library.post_processor = template(tokens, ids)
