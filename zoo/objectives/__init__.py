"""Objectives: noise on text and the loss that goes with it, one file each."""

from zoo.objectives.causal_lm import CausalLMConfig
from zoo.objectives.masked_lm import MaskedLMConfig
from zoo.objectives.next_sentence import NextSentenceConfig
from zoo.objectives.span_corruption import SpanCorruptionConfig
