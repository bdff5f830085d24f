"""What every verb says where the weights of a model give no numbers."""

from __future__ import annotations

from torch import Tensor

from zoo.errors import ZooError

NO_NUMBERS = "the model's {} are not numbers (NaN): its weights are damaged, or too large for its dtype"


def check_numbers(values: Tensor, what: str) -> None:
    """Raises ZooError where any of the values, which are called `what`, is not a number."""
    if values.isnan().any():
        raise ZooError(NO_NUMBERS.format(what))
