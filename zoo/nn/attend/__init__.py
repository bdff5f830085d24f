"""The kernels of attention, one file each; this list is what registers them."""

from zoo.nn.attend import reference, sdpa
from zoo.nn.attend.base import KERNELS, Kernel, Prepared, Request, Scoring
from zoo.nn.attend.reference import ReferenceKernel

__all__ = ["KERNELS", "Kernel", "Prepared", "ReferenceKernel", "Request", "Scoring", "reference", "sdpa"]
