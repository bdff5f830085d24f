"""What passes between the text world and the tensor world, and the legend of tensor shapes.

A local tensor carries its shape as a suffix: `hidden_BTD` is batch × time × dim.

    B  rows of a batch                    D  width of the model (`dim`)
    T  positions of a row (queries)       F  inner width of the feed-forward (`feed_forward_dim`)
    S  positions that are looked at (keys, values)
    H  query heads (`num_heads`)          G  key and value heads (`num_kv_heads`)
    K  width of one head (`head_dim`)     V  entries of the vocabulary (`vocab_size`)
    N  scored positions, gathered from all rows of a batch
"""

from typing import NamedTuple

from torch import Tensor

IGNORE_INDEX = -100
"""The label of a position that is not scored (the default of torch's cross entropy)."""

PADDING_DOCUMENT = -1
"""The document id of a padding position: it sees nothing and nothing sees it."""


class Batch(NamedTuple):
    """One microbatch.

    A NamedTuple of dicts, because Lightning's device transfer walks those and refuses frozen dataclasses.

    Attributes:
        inputs: keyword arguments of a backbone's forward. `tokens` (B, T) int64, and where they say something:
            `positions` (B, T) int64 (absent: 0 … T−1), `documents` (B, T) int64 (absent: each row is one document
            without padding; −1 is padding), `segments` (B, T) int64 (absent: all 0); encoder-decoders also take
            `decoder_tokens`, `decoder_positions`, `decoder_documents`.
        labels: per objective, by its name in the run's config, its labels: int64, IGNORE_INDEX where nothing is scored.
    """

    inputs: dict[str, Tensor]
    labels: dict[str, Tensor]
