"""Weights of one type keep it; those of several become the type that the config says, or the widest."""

import warnings

import pytest
import torch

from zoo.checkpoint.dtypes import one_type, type_name

F64, F32, F16, BF16 = torch.float64, torch.float32, torch.float16, torch.bfloat16


@pytest.mark.parametrize("stored", [[F32], [F16, F16], [BF16, BF16, torch.int64], [torch.int8], []])
@pytest.mark.parametrize("said", [None, F32, F16])
def test_one_type_stays(stored: list[torch.dtype], said: torch.dtype | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert one_type({str(place): dtype for place, dtype in enumerate(stored)}, said, "here") is None


@pytest.mark.parametrize(
    "stored, said, expected",
    [
        ((F16, F32), None, F32),
        ((F16, BF16), None, F32),  # neither holds the other's numbers
        ((F32, F64), None, F64),
        ((F16, F32), F16, F32),  # which ends at 65,504
        ((BF16, F32), BF16, BF16),
        ((F16, F32), BF16, BF16),
        ((F16, BF16), F32, F32),
        ((F64, F32), F32, F32),
    ],
)
def test_several_become_what_the_config_says_or_the_widest(
    stored: tuple[torch.dtype, ...], said: torch.dtype | None, expected: torch.dtype
) -> None:
    first, other = stored
    with pytest.warns(UserWarning, match="several types") as caught:
        assert one_type({"a": first, "b": first, "odd": other}, said, "here") is expected
    (told,) = [str(one.message) for one in caught if one.category is UserWarning]
    assert told.startswith(f"here: its weights are stored in several types (2 {type_name(first)}, 1 {type_name(other)}")
    assert f"{type_name(other)} is for example odd" in told
    assert (
        f"all are turned into {type_name(expected)}, {'as its config says' if said is expected else 'so that'}" in told
    )
