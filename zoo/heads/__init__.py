"""Heads, one file each: hidden states to logits. This list is what registers them."""

from zoo.heads import (
    language_model,
    next_sentence,
    pooler,
    sequence_classification,
    span_extraction,
    token_classification,
)
from zoo.heads.base import Head, HeadConfig, HeadShape

__all__ = [
    "Head",
    "HeadConfig",
    "HeadShape",
    "language_model",
    "next_sentence",
    "pooler",
    "sequence_classification",
    "span_extraction",
    "token_classification",
]
