"""Activations made again: bytes that a forward keeps for its backward, and the time of both, by kind.

    python -m benchmarks.recompute [--layers 6] [--dim 256] [--rows 8] [--length 256] [--rounds 5]

A GPT with dropout of 0.1 on residuals, with and without on the attention weights (on a CPU, torch's attention keeps the
weights where it drops some of them, and only then). The kinds take turns; medians, and the ratio to `none` of the same
round. With --chunks, instead: the chunked loss over a vocabulary of 50,304, by the logits that are alive at once.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor, nn

from zoo.config import build
from zoo.models import Model
from zoo.models.create import model_config
from zoo.nn import loss
from zoo.nn.loss import Projection
from zoo.nn.recompute import RecomputeConfig

KINDS = (
    {"kind": "none"},
    {"kind": "blocks"},
    {"kind": "blocks", "every": 2},
    {"kind": "attention"},
    {"kind": "feed_forward"},
)


def saved_bytes(model: Model, tokens: Tensor) -> int:
    """What a forward keeps for the backward, weights and what is stored twice left out."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        hidden = model.backbone(tokens=tokens)
    assert hidden.requires_grad
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in weights)


def seconds(model: Model, tokens: Tensor) -> float:
    """Of one forward and backward of the backbone."""
    start = time.perf_counter()
    model.backbone(tokens=tokens).square().mean().backward()
    return time.perf_counter() - start


def compare(arguments: argparse.Namespace, attention_dropout: float) -> None:
    """Prints bytes and times of all kinds."""
    config = model_config(
        "gpt-nano", dim=arguments.dim, num_layers=arguments.layers, num_heads=arguments.dim // 64,
        feed_forward_dim=4 * arguments.dim, max_length=arguments.length, vocab_size=512,
        dropout={"attention": attention_dropout, "residual": 0.1},
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(512, (arguments.rows, arguments.length), generator=generator)
    models = {}
    for kind in KINDS:
        model = config.build(seed=0).train()
        build(RecomputeConfig, kind).apply(model)
        models[" ".join(str(value) for value in kind.values())] = model
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(arguments.rounds + 1):
        for name, model in models.items():
            times[name].append(seconds(model, tokens))
    print(f"dropout of attention weights: {attention_dropout}")
    for name, model in models.items():
        ratios = [mine / none for mine, none in zip(times[name][1:], times["none"][1:], strict=True)]
        print(
            f"{name:14} {saved_bytes(model, tokens) / 2**20:8.1f} MiB  {statistics.median(times[name][1:]):6.3f} s"
            f"  {statistics.median(ratios):.2f} [{min(ratios):.2f} to {max(ratios):.2f}]"
        )


class OutputLayer(nn.Module):
    """A head without anything but its weight."""

    def __init__(self, dim: int, vocab_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocab_size, dim) * 0.02)

    @property
    def projection(self) -> Projection:
        """From features to logits."""
        return Projection(self.weight, None, None, len(self.weight))

    def features(self, hidden: Tensor) -> Tensor:
        """What is multiplied by the weight."""
        return hidden


def compare_chunks(arguments: argparse.Namespace) -> None:
    """Prints the time of the loss and its gradients by the size of a chunk."""
    head = OutputLayer(arguments.dim, 50_304)
    count = arguments.rows * arguments.length
    hidden, labels = torch.randn(count, arguments.dim, requires_grad=True), torch.randint(50_304, (count,))
    times: dict[int, list[float]] = {1 << power: [] for power in (20, 22, 24, 26, 40)}
    for _ in range(arguments.rounds + 1):
        for elements, taken in times.items():
            loss.CHUNK_ELEMENTS = elements
            start = time.perf_counter()
            loss.token_loss(head, hidden, labels).backward()
            taken.append(time.perf_counter() - start)
    for elements, taken in times.items():
        rows = min(count, elements // 50_304)
        print(f"{rows:6} positions, {rows * 50_304 * 4 / 2**20:8.0f} MiB: {statistics.median(taken[1:]):.3f} s")


def main() -> None:
    """Compares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("layers", 6), ("dim", 256), ("rows", 8), ("length", 256), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--chunks", action="store_true")
    arguments = parser.parse_args()
    if arguments.chunks:
        compare_chunks(arguments)
        return
    for dropout in (0.0, 0.1):
        compare(arguments, dropout)


if __name__ == "__main__":
    main()
