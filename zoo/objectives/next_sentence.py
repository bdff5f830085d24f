"""Next-sentence prediction: does B follow A, or is it from another document?

Devlin et al. 2018, arXiv:1810.04805, appendix A.2: half and half. It is trained together with masked language modelling
on the same rows. How pairs are made, and where that deviates from the released code, is said in `zoo/data/pairs.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from zoo.config import setting
from zoo.data.pairs import PairRows, PairTokens, TooFewDocumentsError
from zoo.data.rows import RowMaker, Rows
from zoo.data.split import Documents
from zoo.nn.loss import classification_loss
from zoo.objectives.base import Noised, Objective, ObjectiveConfig, Places, Scores, Setup


@dataclass(frozen=True, kw_only=True)
class NextSentenceConfig(ObjectiveConfig, kind="next_sentence"):
    """Next-sentence prediction."""

    families: ClassVar[tuple[str, ...]] = ("encoder",)
    head: ClassVar[str] = "next_sentence"
    needs_own_rows: ClassVar[bool] = True
    needs_sentences: ClassVar[bool] = True
    least_segments: ClassVar[int] = 2
    least_length: ClassVar[tuple[int, str]] = (5, "[CLS] A [SEP] B [SEP]")

    short_share: float = setting(
        0.1,
        "probability that a row aims at a random length below the full one, as BERT's rows do",
        minimum=0,
        maximum=1,
    )

    def places(self, max_length: int) -> Places:
        """The vocabulary is not asked."""
        return Places(0, 0.0)

    def build(self, name: str, setup: Setup) -> Objective:
        """The objective; raises DataError where the tokenizer has no special tokens for pairs."""
        return NextSentence(name, self, setup)


class NextSentence(Objective):
    """Next-sentence prediction on rows of [CLS] A [SEP] B [SEP]."""

    config: NextSentenceConfig

    def __init__(self, name: str, config: NextSentenceConfig, setup: Setup) -> None:
        super().__init__(name, config, setup)
        config.check_length(setup.max_length)
        self.special = PairTokens(*(setup.tokenizer.role(role) for role in PairTokens._fields))

    def row_maker(self, documents: Documents) -> RowMaker:
        """Pairs; raises DataError where the documents have no sentences or too few of them."""
        try:
            return PairRows(documents, self.special, self.setup.max_length, self.config.short_share, self.setup.seed)
        except TooFewDocumentsError as error:
            without = f"objectives.{self.name}=null model.heads.{self.config.head}=null"
            raise TooFewDocumentsError(f"{error}; or train without next-sentence prediction: {without}") from None

    def noise(self, rows: Rows) -> Noised:
        """Nothing is changed; labels (B,): 0 = B follows A, 1 = B is from another document."""
        return Noised({}, rows.labels["next_sentence"])

    def loss(self, hidden_BTD: Tensor, head: Any, labels: Tensor) -> Scores:
        """Cross entropy over the two classes, one target a row."""
        loss, correct = classification_loss(head(hidden_BTD), labels, accuracy=not head.training)
        return Scores(loss, self.count(labels), {} if correct is None else {"accuracy": correct})
