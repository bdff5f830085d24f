"""Masked language modelling: some tokens are hidden, the model names them from both sides.

Devlin et al. 2018, arXiv:1810.04805. 15 % of the tokens are chosen; of those 80 % become [MASK], 10 % a random token
and 10 % stay. As in its released code, a row has exactly round(rate · tokens) chosen tokens and one at least.
Deviations: special tokens count neither as tokens that may be chosen nor for the rate (BERT's count includes [CLS] and
[SEP]), a random token is never a special one, there is no cap on predictions per row, and noise is drawn anew in each
epoch (RoBERTa, Liu et al. 2019, arXiv:1907.11692).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor

from zoo.batch import IGNORE_INDEX
from zoo.config import setting
from zoo.data.counter import choose, uniform
from zoo.data.framing import Frame
from zoo.data.packing import DocumentRows, Fit
from zoo.data.rows import Integers, RowMaker, Rows
from zoo.data.split import Documents
from zoo.errors import ConfigError
from zoo.objectives.base import (
    Noised,
    Objective,
    ObjectiveConfig,
    Places,
    Scores,
    Setup,
    score_tokens,
    special_table,
)


@dataclass(frozen=True, kw_only=True)
class MaskedLMConfig(ObjectiveConfig, kind="masked_lm"):
    """Masked language modelling."""

    families: ClassVar[tuple[str, ...]] = ("encoder",)
    least_length: ClassVar[tuple[int, str]] = (3, "[CLS], one token, [SEP]")
    rewrites_tokens: ClassVar[bool] = True

    rate: float = setting(0.15, "share of the tokens of a row that are chosen", above=0, maximum=1)
    mask_share: float = setting(0.8, "share of the chosen tokens that become [MASK]", minimum=0, maximum=1)
    random_share: float = setting(0.1, "share of the chosen tokens that become a random token", minimum=0, maximum=1)
    packing: Literal["documents", "none"] | None = setting(
        None,
        "documents: short pieces share a row; none: one piece a row; "
        "null: documents, or the rows of the objective beside it that brings its own",
    )

    def validate(self) -> None:
        """The shares must leave no less than nothing for tokens that stay."""
        if self.mask_share + self.random_share > 1 + 1e-9:
            raise ConfigError(
                f"mask_share {self.mask_share} and random_share {self.random_share} add up to more than 1", "mask_share"
            )

    def check_beside(self, name: str, other_name: str, other: ObjectiveConfig) -> None:
        """Packing would be ignored where another objective brings the rows."""
        if self.packing is not None:
            raise ConfigError(
                f"{self.packing!r} has no effect: {name} works on the rows of {other_name} ({other.kind}); drop it",
                f"{name}.packing",
            )

    def places(self, max_length: int) -> Places:
        """The chosen tokens are scored."""
        return Places(0, self.rate * max_length)

    def build(self, name: str, setup: Setup) -> Objective:
        """The objective; raises DataError where the tokenizer has no mask token."""
        return MaskedLM(name, self, setup)


class MaskedLM(Objective):
    """Masked language modelling on rows of [CLS] … [SEP] pieces."""

    config: MaskedLMConfig

    def __init__(self, name: str, config: MaskedLMConfig, setup: Setup) -> None:
        super().__init__(name, config, setup)
        tokenizer = setup.tokenizer
        self.mask = tokenizer.role("mask")
        self.frame = Frame((tokenizer.role("classify"),), (tokenizer.role("separate"),), tokenizer.role("padding"))
        config.check_length(setup.max_length)
        self.is_special = special_table(tokenizer)
        self.ordinary = np.flatnonzero(~self.is_special)

    def row_maker(self, documents: Documents) -> RowMaker:
        """Pieces of documents, each with its own [CLS] and [SEP]."""
        width = self.setup.max_length
        fit = Fit(width, self._slots)
        return DocumentRows(documents, self.frame, width, fit, pack=self.config.packing != "none")

    def noise(self, rows: Rows) -> Noised:
        """{"tokens": (B, T)} with some hidden, and as labels (B, T) the true tokens at the chosen places."""
        config, seed, numbers = self.config, self.setup.seed, (rows.epochs, rows.samples)
        tokens = rows.tokens.copy()
        labels = np.full_like(tokens, IGNORE_INDEX)
        candidates_BT = ~(rows.special | self.is_special[tokens])
        sizes_B = candidates_BT.sum(axis=1)
        counts_B = np.minimum(sizes_B, np.maximum(1, np.rint(config.rate * sizes_B).astype(np.int64)))
        groups_BT = candidates_BT.astype(np.int64) - 1
        chosen = np.flatnonzero(choose(seed, f"{self.name}/places", *numbers, groups_BT, counts_B[:, None]))

        # The j-th chosen place of a row takes the row's j-th pair of numbers.
        row = np.repeat(np.arange(len(counts_B)), counts_B)
        draw = np.arange(len(row)) - np.repeat(np.cumsum(counts_B) - counts_B, counts_B)
        most = int(counts_B.max(initial=0))
        pairs = uniform(seed, f"{self.name}/tokens", *numbers, 2 * most)
        fate, other = pairs[row, 2 * draw], pairs[row, 2 * draw + 1]
        true = tokens.ravel()[chosen]
        random = self.ordinary[(other * len(self.ordinary)).astype(np.int64)]
        seen = np.where(fate < config.mask_share + config.random_share, random, true)
        tokens.ravel()[chosen] = np.where(fate < config.mask_share, self.mask, seen)
        labels.ravel()[chosen] = true
        return Noised({"tokens": tokens}, labels)

    def loss(self, hidden_BTD: Tensor, head: Any, labels: Tensor) -> Scores:
        """Cross entropy at the chosen places; no other place goes through the output layer."""
        return score_tokens(hidden_BTD, head, labels)

    def _slots(self, lengths: Integers) -> Integers:
        return lengths + self.frame.size
