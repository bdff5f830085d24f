"""`zoo data`: what a run reads, before it is trained on. Each verb below it is a file of its own."""

from __future__ import annotations

from zoo.cli import data_inspect, data_prepare, data_stats
from zoo.cli.arguments import examples

VERBS = {
    "prepare": data_prepare,
    "inspect": data_inspect,
    "stats": data_stats,
}
"""Verbs behind `zoo data`, in the order of the help page; each file has `run`, the command, and `EXAMPLES`."""

HELP = "Prepare the text of a run, and look at it."

EXAMPLES = examples(
    "zoo data prepare gpt-nano",
    "zoo data inspect gpt-nano --step 100",
    "zoo data stats gpt-nano",
    "zoo data prepare --help",
    "zoo data stats gpt-nano data.source.kind=text data.source.path=books/  # needs text in books/",
)
