"""What accelerators can do at most, by their makers' datasheets: for MFU, and for hours told in advance.

Rates are those of dense products; datasheets that say "with sparsity" say twice as much. bf16: matrix units, sums in
float32. float32: without TF32, as torch computes unless it is told otherwise. Memory is what the datasheet says, in
units of 2³⁰ bytes; a device shows some per cent less.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from zoo.errors import ConfigError
from zoo.registry import Registry


class Device(NamedTuple):
    """An accelerator.

    Attributes:
        bf16, float32: most FLOP/s of dense products in these formats.
        memory: GiB.
        source: where the figures stand.
        reported: the names under which torch reports it.
    """

    bf16: float
    float32: float
    memory: float
    source: str
    reported: tuple[str, ...]

    def flops(self, dtype: torch.dtype) -> float:
        """Most FLOP/s in this dtype; raises ConfigError where the datasheet does not tell."""
        rates = {torch.bfloat16: self.bf16, torch.float16: self.bf16, torch.float32: self.float32}
        if dtype not in rates:
            raise ConfigError(f"no rate in {str(dtype).removeprefix('torch.')} is known of a named device")
        return rates[dtype]


AMPERE = "NVIDIA A100 datasheet"
HOPPER = "NVIDIA H100 datasheet"

DEVICES: Registry[Device] = Registry(
    "device",
    {
        "b200": Device(2250e12, 75e12, 180, "NVIDIA HGX B200 datasheet", ("NVIDIA B200",)),
        "h200": Device(989e12, 67e12, 141, "NVIDIA H200 datasheet", ("NVIDIA H200",)),
        "h100": Device(989e12, 67e12, 80, HOPPER, ("NVIDIA H100 80GB HBM3",)),
        "h100-pcie": Device(756e12, 51e12, 80, HOPPER, ("NVIDIA H100 PCIe",)),
        "a100": Device(312e12, 19.5e12, 80, AMPERE, ("NVIDIA A100-SXM4-80GB", "NVIDIA A100 80GB PCIe")),
        "a100-40gb": Device(312e12, 19.5e12, 40, AMPERE, ("NVIDIA A100-SXM4-40GB", "NVIDIA A100-PCIE-40GB")),
        "l40s": Device(362e12, 91.6e12, 48, "NVIDIA L40S datasheet", ("NVIDIA L40S",)),
        "l4": Device(121e12, 30.3e12, 24, "NVIDIA L4 datasheet", ("NVIDIA L4",)),
        "a10g": Device(70e12, 35e12, 24, "NVIDIA A10G datasheet", ("NVIDIA A10G",)),
        "a6000": Device(154.8e12, 38.7e12, 48, "NVIDIA GA102 whitepaper", ("NVIDIA RTX A6000",)),
        "rtx5090": Device(209.5e12, 104.8e12, 32, "NVIDIA Blackwell GB202 whitepaper", ("NVIDIA GeForce RTX 5090",)),
        "rtx4090": Device(165.2e12, 82.6e12, 24, "NVIDIA Ada GPU whitepaper", ("NVIDIA GeForce RTX 4090",)),
        "rtx3090": Device(71e12, 35.6e12, 24, "NVIDIA GA102 whitepaper", ("NVIDIA GeForce RTX 3090",)),
        "mi300x": Device(1307.4e12, 163.4e12, 192, "AMD Instinct MI300X datasheet", ("AMD Instinct MI300X",)),
    },
)
"""Accelerators by a short name; a new one is a row here."""


def reported_device(name: str) -> Device | None:
    """The device that torch reports under this name; None: it is not in the table."""
    return next((device for _, device in DEVICES.items() if name in device.reported), None)
