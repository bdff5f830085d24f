"""Causal language modelling: each token is predicted from those before it in the same document.

Radford et al. 2019, "Language models are unsupervised multitask learners". Deviation: a token sees its own document
only, where GPT's stream lets it see the documents that happen to stand before it in the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from zoo.config import setting
from zoo.data.framing import Frame
from zoo.data.packing import DocumentRows, Fit, StreamRows
from zoo.data.rows import Integers, RowMaker, Rows
from zoo.data.split import Documents
from zoo.objectives.base import Noised, Objective, ObjectiveConfig, Scores, Setup, score_tokens


@dataclass(frozen=True, kw_only=True)
class CausalLMConfig(ObjectiveConfig, kind="causal_lm"):
    """Causal language modelling."""

    families: ClassVar[tuple[str, ...]] = ("decoder",)
    needs_own_rows: ClassVar[bool] = True
    least_length: ClassVar[tuple[int, str]] = (3, "pieces of two tokens or three")

    packing: Literal["stream", "documents", "none"] = setting(
        "stream",
        "stream: documents one after another, cut at every max_length tokens, at other places in each epoch; "
        "documents: documents and pieces of long ones side by side in a row; none: one of them a row",
    )

    def build(self, name: str, setup: Setup) -> Objective:
        """The objective; raises DataError where the tokenizer has no `end` token."""
        return CausalLM(name, self, setup)


class CausalLM(Objective):
    """Next-token prediction on rows of documents that end with the `end` token."""

    config: CausalLMConfig

    def __init__(self, name: str, config: CausalLMConfig, setup: Setup) -> None:
        super().__init__(name, config, setup)
        tokenizer = setup.tokenizer
        end = tokenizer.role("end")
        # No target and no other token sees padding, so without a token for it (GPT-2, Llama) any will do.
        self.frame = Frame((), (end,), tokenizer.roles.get("padding", end))
        config.check_length(setup.max_length)

    def row_maker(self, documents: Documents) -> RowMaker:
        """A stream, or pieces of documents."""
        width = self.setup.max_length
        if self.config.packing == "stream":
            return StreamRows(documents, self.frame, width, self.setup.seed)
        fit = Fit(width, _slots, shortest=2, framed="document")
        return DocumentRows(documents, self.frame, width, fit, pack=self.config.packing == "documents")

    def noise(self, rows: Rows) -> Noised:
        """Nothing is changed; labels (B, T): the next token of the same document, even where it is in another row."""
        return Noised({}, rows.labels["next_token"])

    def loss(self, hidden_BTD: Tensor, head: Any, labels: Tensor) -> Scores:
        """Cross entropy of the next token at every place that has one."""
        return score_tokens(hidden_BTD, head, labels)


def _slots(lengths: Integers) -> Integers:
    return lengths
