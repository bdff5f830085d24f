"""Foreign architectures, one mapping table a file, read in both directions. This list is what registers them."""

from zoo.interop import (
    albert,
    bart,
    bert,
    bloom,
    deepseek_v3,
    gemma2,
    gpt2,
    gpt_neox,
    llama,
    marian,
    modernbert,
    olmo2,
    qwen3,
    t5,
)
from zoo.interop.base import ARCHITECTURES, Architecture, Field, Rule
from zoo.interop.configs import read_config, write_config
from zoo.interop.weights import from_zoo, to_zoo

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
    "from_zoo",
    "gemma2",
    "gpt2",
    "gpt_neox",
    "llama",
    "marian",
    "modernbert",
    "olmo2",
    "qwen3",
    "read_config",
    "t5",
    "to_zoo",
    "write_config",
]
