"""The rows of one side of a run's text; where it is too short for one, which side it was and which keys to turn."""

from __future__ import annotations

from typing import Literal

from zoo.data.blend import Blend
from zoo.data.corpus import Corpus
from zoo.data.rows import TooShortError, source_words
from zoo.errors import DataError
from zoo.objectives.mixture import MixedRows, Mixture
from zoo.training.config import RunConfig

Side = Literal["training", "held-out"]


def split_rows(mixture: Mixture, corpus: Corpus, config: RunConfig, side: Side) -> MixedRows:
    """The rows of one side of the text; raises DataError where it does not fit, see `Mixture.over`.

    Args:
        mixture: the objectives. corpus: the text. config: of the run, whose keys a message names.
        side: which documents.
    """
    documents = corpus.training if side == "training" else corpus.validation
    try:
        return mixture.over(documents)
    except TooShortError as error:
        # Where all of a text is measured, it is both sides.
        name = "text" if corpus.validation is corpus.training else f"{side} text"
        fraction = config.data.validation_fraction
        source = f"data.source.sources.{error.source}" if isinstance(documents, Blend) else "data.source"
        ways = [f"give more text ({source})"]
        if corpus.validation is not corpus.training and fraction:
            ways.append(f"hold {'less' if side == 'training' else 'more'} out (data.validation_fraction={fraction:g})")
        raise DataError(
            f"{source_words(error.source)}the {name} has {error.num_tokens} tokens but one row needs {error.width}: "
            f"{', '.join(ways)} or take shorter rows (model.max_length={config.model.max_length})"
        ) from None
