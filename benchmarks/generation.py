"""Greedy decoding, ours beside transformers' `generate` with the better of its caches, one process alive at a time.

    python -m benchmarks.generation [--cases nano small t5-small gpt2-bf16] [--rows 1 8] [--rounds 5] [--new 128]

Both sides have the same random weights (transformers' own, ours read from them by the tables of `zoo.interop`), the
same dtype, and prompts of 32 tokens; nothing ends a row. A round is one process a side, in turn: it writes a few tokens
that do not count, then the whole text `--calls` times, reading of the prompt included, and reports the median. Which of
transformers' caches is the better one for a case is tried first, in processes of their own. Ratios are tokens a second
of neighbouring processes, ours over theirs. How many of the tokens are the same on both sides is told: where logits are
nearly level, float32 may decide otherwise.

The floor of a step is the time to read every weight that a step multiplies once, at the rate at which this machine sums
up a large tensor; the share is the floor over our time for a step.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

PROMPT = 32
CACHES = ("dynamic", "static")
"""Of transformers'."""


class Case(NamedTuple):
    """One model.

    Attributes:
        architecture: name of our table, and of transformers' config (`Config`) and model classes.
        foreign: transformers' config class and model class.
        config: arguments of the config class.
        dtype: of the weights and all computation.
    """

    architecture: str
    foreign: tuple[str, str]
    config: dict[str, Any]
    dtype: str = "float32"


def _gpt2(dim: int, layers: int, heads: int, vocab_size: int, dtype: str = "float32") -> Case:
    config = {"n_embd": dim, "n_layer": layers, "n_head": heads, "vocab_size": vocab_size, "n_positions": 256}
    return Case("gpt2", ("GPT2Config", "GPT2LMHeadModel"), config, dtype)


CASES = {
    "nano": _gpt2(128, 4, 4, 256),
    "small": _gpt2(384, 6, 6, 50257),
    "t5-small": Case(
        "t5", ("T5Config", "T5ForConditionalGeneration"), {"decoder_start_token_id": 0, "is_encoder_decoder": True}
    ),
    "gpt2-bf16": _gpt2(768, 12, 12, 50257, "bfloat16"),
}


# ------------------------------------------------------------------------------------------------------------- one side

Write = Callable[[int], list[list[int]]]
"""How many tokens to write → the tokens of each row."""


def foreign_model(case: Case) -> Any:
    """transformers' model with its own random weights."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, case.foreign[0])(**case.config)
    model = getattr(transformers, case.foreign[1])._from_config(config, attn_implementation="sdpa")
    return model.to(getattr(torch, case.dtype)).eval()


def prompts_of(vocab_size: int, rows: int) -> list[list[int]]:
    """The same on both sides."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.randint(5, vocab_size, (rows, PROMPT), generator=generator).tolist()


def zoo_side(case: Case, rows: int, cache: str) -> tuple[Any, Write]:
    """Ours, with the weights of theirs."""
    from zoo.generation.generate import generate
    from zoo.generation.roles import TokenRoles
    from zoo.interop import read_config, to_zoo

    foreign = foreign_model(case)
    settings = {**foreign.config.to_dict(), "architectures": [case.foreign[1]]}
    model = read_config(case.architecture, settings).build_unset()
    model.load_state_dict(to_zoo(case.architecture, foreign.state_dict(), settings))
    model = model.to(foreign.dtype).eval()
    vocab_size = foreign.config.vocab_size
    prompts, roles = prompts_of(vocab_size, rows), TokenRoles(vocab_size, padding=0)

    def write(new: int) -> list[list[int]]:
        return [row.tokens for row in generate(model, prompts, roles, max_new_tokens=new, scored=False)]

    return model, write


def transformers_side(case: Case, rows: int, cache: str) -> tuple[Any, Write]:
    """transformers'."""
    import torch

    model = foreign_model(case)
    prompts = torch.tensor(prompts_of(model.config.vocab_size, rows))
    options: dict[str, Any] = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0, "num_beams": 1}
    options |= {"cache_implementation": cache} if cache != "dynamic" else {}
    mask = torch.ones_like(prompts)

    def write(new: int) -> list[list[int]]:
        length = {"min_new_tokens": new, "max_new_tokens": new}
        return model.generate(prompts, attention_mask=mask, **length, **options)[:, -new:].tolist()

    return model, write


SIDES = {"zoo": zoo_side, "transformers": transformers_side}


def weight_bytes(model: Any) -> int:
    """Bytes of the matrices that a step of one token multiplies: all but an encoder's and tables only looked up."""
    tables = [model.backbone.tokens.weight] if model.heads["language_model"].output is None else []
    stack = model.backbone.decoder if model.config.kind == "encoder_decoder" else model.backbone.stack
    matrices = [*stack.blocks.parameters(), *model.heads.parameters(), *tables]
    return sum(matrix.numel() * matrix.element_size() for matrix in matrices)


def reading_rate() -> float:
    """Bytes a second that this machine reads from a tensor larger than its caches."""
    import torch

    large = torch.zeros(1 << 26)
    seconds = []
    for _ in range(7):
        start = time.perf_counter()
        large.sum()
        seconds.append(time.perf_counter() - start)
    return 4 * len(large) / statistics.median(seconds)


def work(side: str, case: str, rows: int, arguments: argparse.Namespace) -> None:
    """In a process of its own: builds, writes, prints seconds of each call and what the last one wrote."""
    model, write = SIDES[side](CASES[case], rows, arguments.cache)
    write(min(8, arguments.new))
    seconds, written = [], []
    for _ in range(arguments.calls):
        start = time.perf_counter()
        written = write(arguments.new)
        seconds.append(time.perf_counter() - start)
    floor = weight_bytes(model) / reading_rate() if side == "zoo" else 0.0
    print(json.dumps({"seconds": statistics.median(seconds), "written": written, "floor": floor}))


# ----------------------------------------------------------------------------------------------------------- both sides


def main() -> None:
    """Runs the cases and prints a table row for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 8], help="rows of a batch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=3, help="texts a process writes")
    parser.add_argument("--new", type=int, default=128, help="tokens to write")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--cache", choices=CACHES, default="dynamic", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        work(arguments.side, arguments.cases[0], arguments.rows[0], arguments)
        return
    print(
        "| model | rows | zoo, tokens/s | transformers, tokens/s | ratio | floor, ms | ours, ms | share | same tokens |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for case in arguments.cases:
        for rows in arguments.rows:
            print(table_row(case, rows, arguments), flush=True)


def table_row(case: str, rows: int, arguments: argparse.Namespace) -> str:
    """One case: medians of each side, median and range of the ratios of neighbouring processes, floor and share."""

    def run(side: str, cache: str = "dynamic") -> Any:
        command = [sys.executable, "-m", "benchmarks.generation", "--side", side, "--cases", case, "--cache", cache]
        command += ["--rows", str(rows), "--calls", str(arguments.calls), "--new", str(arguments.new)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])

    tried = {cache: run("transformers", cache)["seconds"] for cache in CACHES}
    better = min(tried, key=lambda cache: tried[cache])
    results: dict[str, list[Any]] = {side: [] for side in SIDES}
    for number in range(arguments.rounds):
        for side in SIDES if number % 2 == 0 else reversed(SIDES):
            results[side].append(run(side, better))
    tokens = rows * arguments.new
    rates = {side: [tokens / found["seconds"] for found in runs] for side, runs in results.items()}
    ratios = [ours / theirs for ours, theirs in zip(rates["zoo"], rates["transformers"], strict=True)]
    ours, theirs = (statistics.median(rates[side]) for side in SIDES)
    floor = statistics.median(found["floor"] for found in results["zoo"])
    step = rows / ours
    written = [list(itertools.chain(*results[side][0]["written"])) for side in SIDES]
    same = sum(one == other for one, other in zip(*written, strict=True)) / tokens
    cells = [
        case,
        str(rows),
        f"{ours:,.0f}",
        f"{theirs:,.0f} ({better})",
        f"{statistics.median(ratios):.2f} [{min(ratios):.2f} to {max(ratios):.2f}]",
        f"{1e3 * floor:.2f}",
        f"{1e3 * step:.2f}",
        f"{floor / step:.0%}",
        f"{same:.0%}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
