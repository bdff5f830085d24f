"""Whether the attention kernels of a model can be trained with, on the devices and in the precision of a run."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.errors import ConfigError
from zoo.models import ModelConfig
from zoo.nn.attend import KERNELS, Demand
from zoo.training.precision import FORMATS

DEVICES = {"auto": ("cuda", "mps", "cpu"), "gpu": ("cuda",), "mps": ("mps",), "cpu": ("cpu",)}
"""Types of device that an accelerator may turn out to be."""


def check_kernels(model: ModelConfig, precision: str, devices: Sequence[str]) -> None:
    """Raises ConfigError where a layer's kernel can be trained with on none of these devices.

    Args:
        model: whose layers, those of both sides where it has two, say which kernels.
        precision: of the run.
        devices: types of device, as torch names them.
    """
    for side in model.sides():
        key = ".".join(word for word in ("model", side.key, "attention.kernel") if word)
        for number, layer in enumerate(side.stack.layer_configs()):
            kernel = KERNELS[layer.attention.kernel]
            demands = [
                Demand(device, FORMATS[precision].products, True, frozenset(layer.kernel_features))
                for device in devices
            ]
            refusals = [kernel.refusal(demand) for demand in demands]
            if all(refusals):
                where = f" of layer {number}" if side.stack.layers else ""
                raise ConfigError(f"kernel {kernel.name!r}{where} {refusals[0]}; use auto, or another kernel", key)
