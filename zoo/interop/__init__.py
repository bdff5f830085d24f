"""Foreign architectures, one mapping table a file, read in both directions. This list is what registers them."""

from zoo.interop import (
    albert,
    bart,
    bert,
    bloom,
    deepseek_v3,
    distilbert,
    gemma2,
    gpt2,
    gpt_neox,
    llama,
    marian,
    mistral,
    modernbert,
    mt5,
    olmo2,
    qwen2,
    qwen3,
    roberta,
    t5,
)
from zoo.interop.attempt import write_config
from zoo.interop.base import ARCHITECTURES, Architecture, Field, Rule
from zoo.interop.configs import read_config
from zoo.interop.weights import from_zoo, left_out, to_zoo

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Field",
    "Rule",
    "albert",
    "bart",
    "bert",
    "bloom",
    "deepseek_v3",
    "distilbert",
    "from_zoo",
    "gemma2",
    "gpt2",
    "gpt_neox",
    "left_out",
    "llama",
    "marian",
    "mistral",
    "modernbert",
    "mt5",
    "olmo2",
    "qwen2",
    "qwen3",
    "read_config",
    "roberta",
    "t5",
    "to_zoo",
    "write_config",
]
