"""`zoo tokenizer`: makes a tokenizer, and looks at one. Each verb below it is a file of its own."""

from __future__ import annotations

from zoo.cli import tokenizer_inspect, tokenizer_train
from zoo.cli.arguments import examples

VERBS = {
    "train": tokenizer_train,
    "inspect": tokenizer_inspect,
}
"""Verbs behind `zoo tokenizer`, in the order of the help page; each file has `run`, the command, and `EXAMPLES`."""

HELP = "Train a tokenizer by itself, and look at one."

EXAMPLES = examples(
    "zoo tokenizer train gpt-nano gpt-tokenizer",
    'zoo tokenizer inspect gpt-tokenizer "Colourless green ideas"',
    "zoo tokenizer inspect --help",
)
