"""Foreign architectures, one mapping table a file, read in both directions. This list is what registers them."""

from zoo.interop import bart, bert, bloom, gpt2, gpt_neox, llama, marian, olmo2, qwen3, t5
from zoo.interop.base import ARCHITECTURES, Architecture, Field, Rule
from zoo.interop.configs import read_config, write_config
from zoo.interop.weights import from_zoo, to_zoo

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Field",
    "Rule",
    "bart",
    "bert",
    "bloom",
    "from_zoo",
    "gpt2",
    "gpt_neox",
    "llama",
    "marian",
    "olmo2",
    "qwen3",
    "read_config",
    "t5",
    "to_zoo",
    "write_config",
]
