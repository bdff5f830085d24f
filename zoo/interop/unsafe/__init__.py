"""Formats that are read only where somebody asks for them by name: `zoo import --unsafe-format`."""

from zoo.interop.unsafe import llama2c, meta, nanogpt, pytorch
from zoo.interop.unsafe.base import UNSAFE, Read

__all__ = ["UNSAFE", "Read", "llama2c", "meta", "nanogpt", "pytorch"]
