"""Few rows by a large weight: the numbers of torch's `linear`, whichever way round the factors are."""

import pytest
import torch
from torch.nn import functional

from zoo.nn import few_rows
from zoo.nn.few_rows import MOST_ROWS, linear

TOLERANCES = {torch.float64: 1e-14, torch.float32: 2e-6, torch.bfloat16: 1e-2}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize(
    "shape", [(1,), (1, 1), (2, 1), (3, 2), (8, 1), (MOST_ROWS,), (MOST_ROWS + 1,), (0,), ()], ids=str
)
def test_it_is_linear(shape: tuple[int, ...], dtype: torch.dtype, bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(*shape, 256, generator=generator).to(dtype)
    weight = (torch.randn(601, 256, generator=generator) / 16).to(dtype)
    added = torch.randn(601, generator=generator).to(dtype) if bias else None
    with torch.no_grad():
        found = linear(rows, weight, added)
    expected = functional.linear(rows, weight, added)
    assert found.is_contiguous()
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected, rtol=0, atol=8 * TOLERANCES[dtype])


def test_rows_that_lie_apart() -> None:
    weight, rows = torch.randn(601, 256, dtype=torch.float64), torch.randn(256, 3, dtype=torch.float64).T
    with torch.inference_mode():
        torch.testing.assert_close(linear(rows, weight, None), rows @ weight.T)


def test_a_weight_that_lies_the_other_way_is_left_to_torch() -> None:
    weight, rows = torch.randn(601, 256), torch.randn(1, 256)
    assert few_rows._is_read_faster(rows, weight)
    assert not few_rows._is_read_faster(rows, weight.T.contiguous().T)


def test_autocast_has_the_say_in_the_dtype() -> None:
    weight, rows, bias = torch.randn(601, 256), torch.randn(2, 256), torch.randn(601)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found, expected = linear(rows, weight, bias), functional.linear(rows, weight, bias)
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.2)


def test_gradients_are_those_of_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_rows, "_is_read_faster", lambda *_: pytest.fail("asked where there may be a backward"))
    weight = torch.randn(601, 256, requires_grad=True)
    linear(torch.randn(1, 256), weight, None).sum().backward()
    assert weight.grad is not None
