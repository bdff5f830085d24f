"""Where a foreign classifier looks for the end token of its input: what it would read elsewhere is refused.

BART's and T5's classifiers read their input twice, and the state at the place of the last end token of the input is
classified. Ours reads the last place that is no padding, which is the same where every input ends with that token.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo.errors import DataError
from zoo.generation.conventions import Conventions
from zoo.models.base import ModelConfig


def check_ends(config: ModelConfig, conventions: Conventions, inputs: Mapping[str, Any]) -> None:
    """Raises where a row for the classifier of a foreign encoder-decoder ends otherwise than it reads.

    Args:
        config: of the model.
        conventions: what its folder says; where no config.json is carried, nothing is checked.
        inputs: `tokens` (B, S), and `documents` where there is padding.

    Raises:
        DataError: the last real token of a row is not `eos_token_id`.
    """
    end = (conventions.carried or {}).get("config.json", {}).get("eos_token_id")
    tokens_BS, documents_BS = inputs.get("tokens"), inputs.get("documents")
    reads_twice = config.kind == "encoder_decoder" and "sequence_classification" in config.heads
    if not reads_twice or type(end) is not int or not isinstance(tokens_BS, Tensor) or tokens_BS.dim() != 2:
        return
    real_BS = torch.ones_like(tokens_BS, dtype=torch.bool)
    if documents_BS is not None:
        real_BS = (documents_BS >= 0).expand(tokens_BS.shape)
    place_B1 = tokens_BS.shape[1] - 1 - real_BS.flip(1).int().argmax(dim=1, keepdim=True)
    for row, token in enumerate(tokens_BS.gather(1, place_B1)[:, 0].tolist()):
        if token != end:
            raise DataError(
                f"tokens: row {row} ends with {token}, and not with the end token {end} (eos_token_id of its "
                "config.json), whose place the classifier was trained to read; end each row with it"
            )
