"""Loading a folder, beside transformers: processes in turn, seconds and peak memory beyond the imports.

    python -m benchmarks.loading [--layers 12] [--dim 768] [--vocabulary 50257] [--rounds 5]

A GPT-2 (124M by default) with random weights is saved in a temporary folder by transformers (float32) and, once more,
by us. Then each process imports what it needs, loads one of the two folders from the page cache, as it is stored or as
bfloat16, computes the logits of a short text, and prints after both how many seconds it took and by how much the peak
of its resident memory (VmHWM, reset after the imports) rose above what it had before, in units of the loaded weights.
The first round does not count. The logits are compared once.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MEASURED = """
import json, re, sys, time
from pathlib import Path
{imports}
def memory(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
import torch
torch.set_num_threads({threads})
torch.nn.Linear(4, 4)(torch.zeros(1, 4))
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
before, start = memory("VmRSS"), time.perf_counter()
model = {load}
loaded, peak = time.perf_counter() - start, memory("VmHWM") - before
tokens = torch.arange({tokens})[None]
with torch.no_grad():
    {call}
used, size = time.perf_counter() - start, {size}
print(json.dumps([loaded, used, peak / size, (memory("VmHWM") - before) / size]))
"""
THEIRS, OURS = "from transformers import GPT2LMHeadModel", "from zoo.loading import load"
WAYS = {
    "transformers": (THEIRS, "GPT2LMHeadModel.from_pretrained({theirs!r})", "model(tokens).logits"),
    "zoo, theirs": (OURS, "load({theirs!r})", "model(tokens=tokens)"),
    "zoo, ours": (OURS, "load({ours!r})", "model(tokens=tokens)"),
    "transformers, bfloat16": (
        THEIRS,
        "GPT2LMHeadModel.from_pretrained({theirs!r}, dtype=torch.bfloat16)",
        "model(tokens).logits",
    ),
    "zoo, theirs, bfloat16": (OURS, "load({theirs!r}, dtype='bfloat16')", "model(tokens=tokens)"),
    "zoo, ours, bfloat16": (OURS, "load({ours!r}, dtype='bfloat16')", "model(tokens=tokens)"),
}
HALF = "bfloat16"
"""What the names of the ways end with whose weights take half the memory of those that are stored."""
TOKENS = 8
"""Of the first text that a model computes."""


def main() -> None:
    """Prints medians with their spread, and the ratios to transformers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--vocabulary", type=int, default=50257)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    measured: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as temporary:
        folders = {"theirs": f"{temporary}/theirs", "ours": f"{temporary}/ours"}
        size = make(Path(folders["theirs"]), Path(folders["ours"]), arguments)
        for number in range(arguments.rounds + 1):
            for name, (imports, load, call) in WAYS.items():
                code = MEASURED.format(
                    imports=imports,
                    load=load.format(**folders),
                    call=call,
                    tokens=TOKENS,
                    size=size // 2 if name.endswith(HALF) else size,
                    threads=arguments.threads,
                )
                ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
                if number:
                    measured[name].append(json.loads(ended.stdout.splitlines()[-1]))
    print(f"{size / 1e6:.0f} MB of weights")
    for name, rounds in measured.items():
        loaded, used, peak, last = zip(*rounds, strict=True)
        others = measured[f"transformers, {HALF}" if name.endswith(HALF) else "transformers"]
        print(f"{name}: loaded after {spread(loaded)} s, first logits after {spread(used)} s")
        print(f"  x transformers: {ratios(loaded, others, 0)} and {ratios(used, others, 1)}")
        print(f"  peak memory, x the weights: {spread(peak)} and {spread(last)}")


def ratios(mine: tuple[float, ...], others: list[list[float]], index: int) -> str:
    """Of neighbours in time."""
    return spread([one / other[index] for one, other in zip(mine, others, strict=True)])


def spread(values: tuple[float, ...] | list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.3f} [{min(values):.3f} to {max(values):.3f}]"


def make(theirs: Path, ours: Path, arguments: argparse.Namespace) -> int:
    """Writes the two folders; returns the bytes of the weights. Raises AssertionError where they are not equal."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    import zoo

    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=arguments.layers, n_embd=arguments.dim, n_head=arguments.dim // 64 or 1, vocab_size=arguments.vocabulary
    )
    oracle = GPT2LMHeadModel(config).eval()
    oracle.save_pretrained(theirs)
    model = zoo.load(theirs)
    zoo.save(model, ours)
    tokens = torch.arange(TOKENS)[None]
    with torch.no_grad():
        expected, found = oracle(tokens).logits, model(tokens=tokens)["language_model"]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    return sum(parameter.nbytes for parameter in model.model.parameters())


if __name__ == "__main__":
    main()
