"""The most that a device can do, which utilization is measured against."""

from types import SimpleNamespace

import pytest
import torch

from zoo.training import peak
from zoo.training.devices import DEVICES
from zoo.training.peak import peak_flops

CPU = torch.device("cpu")


def test_measured_peak_is_not_below_what_a_product_reaches() -> None:
    """A slower product cannot beat the best of several; within a factor, other loads on the machine included."""
    import time

    best = peak_flops(CPU, torch.float32, size=256, repeats=20)
    left = torch.ones(256, 256)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        torch.mm(left, left)
        times.append(time.perf_counter() - start)
    assert best > 0.5 * 2 * 256**3 / sorted(times)[10]


def test_best_of_several_products_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 5.0, 10.0, 11.0, 20.0, 22.0])
    monkeypatch.setattr(peak, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert peak_flops(CPU, torch.float32, size=10, repeats=2) == 2 * 10**3 / 1.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_every_precision_of_a_run(dtype: torch.dtype) -> None:
    assert peak_flops(CPU, dtype, size=64, repeats=1) > 0


def test_known_device_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    assert peak_flops(torch.device("cuda"), torch.bfloat16) == DEVICES["h200"].bf16 == 989e12


def test_measuring_draws_nothing() -> None:
    before = torch.get_rng_state()
    peak_flops(CPU, torch.float32, size=64, repeats=1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.gpu
def test_gpu_is_measured_in_the_precision_that_the_table_lacks() -> None:
    assert peak_flops(torch.device("cuda"), torch.float32) > 1e11
