"""The kernels of attention, one file each; this list is what registers them."""

from zoo.nn.attend import automatic, flex, reference, sdpa, varlen
from zoo.nn.attend.automatic import explain
from zoo.nn.attend.base import KERNELS, WIDEST_HEAD, Demand, Kernel, Prepared, Request, Scoring
from zoo.nn.attend.reference import ReferenceKernel

__all__ = [
    "KERNELS",
    "WIDEST_HEAD",
    "Demand",
    "Kernel",
    "Prepared",
    "ReferenceKernel",
    "Request",
    "Scoring",
    "automatic",
    "explain",
    "flex",
    "reference",
    "sdpa",
    "varlen",
]
