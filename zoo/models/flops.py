"""Floating-point operations of a forward, from first principles.

A product of (n, k) and (k, m) matrices counts 2 · n · k · m. Counted are the projections, the attention products (every
query with every key: what a mask leaves out is not taken off, the convention of PaLM, arXiv:2204.02311, appendix B) and
the output layer on the positions that are scored. Of a mixture of experts, those that a token goes through are counted.
Norms, activations and lookups are left out. A training step is three
forwards: the backward makes two products for each one of the forward.

That is the work that the formulas ask for, whatever a kernel does: a fused attention computes its scores a second time
in its backward (five products where the formula has four, so torch's own counter says 3.5 forwards for it and not 3),
one that knows the mask leaves out what is masked, and checkpointed blocks run forward twice.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from zoo.heads.language_model import LanguageModelHead
from zoo.models.base import Model, SelfBackbone
from zoo.models.encoder_decoder import EncoderDecoder
from zoo.nn.attention import Attention
from zoo.nn.block import Block
from zoo.nn.linear import Linear
from zoo.nn.mixture import Mixture
from zoo.nn.parallel_block import ParallelBlock
from zoo.nn.stack import Stack


class RowShape(NamedTuple):
    """The size of one row.

    Attributes:
        length: positions T of the encoder or the only stack.
        decoder_length: positions of the decoder, 0 where there is none.
        scored: positions that go through the vocabulary-sized output layer.
    """

    length: int
    decoder_length: int
    scored: float


def forward_flops(model: Model, row: RowShape) -> float:
    """Operations of one row's forward."""
    backbone = model.backbone
    flops = 0.0
    if isinstance(backbone, EncoderDecoder):
        flops += 2 * row.length * _weights(backbone.encoder_embedding)
        flops += _stack_flops(backbone.encoder, row.length, 0)
        flops += 2 * row.decoder_length * _weights(backbone.decoder_embedding)
        flops += _stack_flops(backbone.decoder, row.decoder_length, row.length)
    else:
        assert isinstance(backbone, SelfBackbone)
        flops += 2 * row.length * _weights(backbone.embedding)
        flops += _stack_flops(backbone.stack, row.length, 0)
    for head in model.heads.values():
        # A classifier reads one position of a row; the output layer is the token table or has its shape.
        positions = row.scored if isinstance(head, LanguageModelHead) else 1
        flops += 2 * positions * _weights(head)
        if isinstance(head, LanguageModelHead) and head.output is None:
            flops += 2 * positions * head.weight.numel()
    return flops


def training_flops(model: Model, row: RowShape) -> float:
    """Operations of one row's forward and backward."""
    return 3 * forward_flops(model, row)


def _stack_flops(stack: Stack, length: int, memory_length: int) -> float:
    flops = 0.0
    for number in stack.order:
        block = stack.blocks[number]
        assert isinstance(block, Block | ParallelBlock)
        flops += _attention_flops(block.self_attention, length, length)
        flops += _attention_flops(block.cross_attention, length, memory_length, cross=True)
        flops += 2 * length * _weights(block.feed_forward)
    return flops


def _attention_flops(residual: nn.Module, num_queries: int, num_keys: int, cross: bool = False) -> float:
    flops = 0.0
    for module in residual.modules():
        if isinstance(module, Attention):
            keys = sum(layer.weight.numel() for layer in module.project.memory_layers())
            queries = _weights(module) - keys
            if cross:
                keys += sum(layer.weight.numel() for layer in module.project.layers_for_both())
            flops += 2 * (queries * num_queries + keys * num_keys + module.products * num_queries * num_keys)
    return flops


def _weights(module: nn.Module) -> int:
    """Weights of the products that a token takes part in: of a mixture, those of its own experts."""
    weights = sum(linear.weight.numel() for linear in module.modules() if isinstance(linear, Linear))
    return weights - sum(mixture.num_idle * _weights(mixture.experts[0]) for mixture in _mixtures(module))


def active_parameters(model: Model) -> int:
    """The parameters that take part in what becomes of one token: all but those of the experts it does not reach."""
    idle = sum(
        mixture.num_idle * parameter.numel()
        for mixture in _mixtures(model)
        for parameter in mixture.experts[0].parameters()
    )
    return model.num_parameters - idle


def _mixtures(module: nn.Module) -> list[Mixture]:
    return [part for part in module.modules() if isinstance(part, Mixture)]
