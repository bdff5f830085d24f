"""The same small GPT trained by nanoGPT's loop and by `zoo pretrain`, alternating, over several seeds.

    python -m benchmarks.shakespeare --nanogpt <clone of karpathy/nanoGPT> --text <input.txt> [--seeds 3]

nanoGPT runs its README's CPU command (characters, 4 layers × 128, 64 characters, 12 rows, 2,000 steps, no dropout),
with a seed of our choice in place of its 1337. Both losses are measured alike: the mean over the last tenth of the
text, cut into windows of 64 characters, each predicted once, by the weights that the run left. Times are of whole
commands, start and imports included. Needs torch and numpy in nanoGPT's environment, which is this one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NANOGPT = [
    "config/train_shakespeare_char.py",
    "--device=cpu",
    "--compile=False",
    "--eval_iters=20",
    "--log_interval=1",
    "--block_size=64",
    "--batch_size=12",
    "--n_layer=4",
    "--n_head=4",
    "--n_embd=128",
    "--dropout=0.0",
]

SCORE_NANOGPT = """
import sys, numpy, torch
from model import GPT, GPTConfig
saved = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
model = GPT(GPTConfig(**saved["model_args"]))
model.load_state_dict(saved["model"])
model.eval()
text = torch.from_numpy(numpy.fromfile(sys.argv[2], dtype=numpy.uint16).astype(numpy.int64))
length, total, count = 64, 0.0, 0
with torch.no_grad():
    for start in range(0, len(text) - 1, length):
        targets = text[start + 1 : start + 1 + length][None]
        inputs = text[start : start + targets.shape[1]][None]
        loss = model(inputs, targets)[1]
        total, count = total + float(loss) * targets.numel(), count + targets.numel()
print(total / count)
"""


def main() -> None:
    """Runs both in turn and prints one line a run, then medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nanogpt", type=Path, required=True, help="a clone of karpathy/nanoGPT")
    parser.add_argument("--text", type=Path, required=True, help="tinyshakespeare's input.txt")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2000, help="fewer for a trial run; 100 at least, the warm-up")
    arguments = parser.parse_args()
    results: dict[str, list[tuple[float, float]]] = {"nanogpt": [], "zoo": []}
    with tempfile.TemporaryDirectory() as folder:
        clone = prepare_nanogpt(arguments.nanogpt, arguments.text.resolve(), Path(folder))
        for seed in range(arguments.seeds):
            runs = [("nanogpt", run_nanogpt), ("zoo", run_zoo)]
            for name, run in runs if seed % 2 == 0 else reversed(runs):
                seconds, loss = run(
                    clone, arguments.text.resolve(), Path(folder) / f"{name}-{seed}", seed, arguments.steps
                )
                results[name].append((seconds, loss))
                print(f"seed {seed}  {name:8}  {seconds:6.1f} s  validation loss {loss:.4f}", flush=True)
    for name, runs in results.items():
        seconds, losses = zip(*runs, strict=True)
        print(
            f"{name:8}  median {statistics.median(seconds):.1f} s [{min(seconds):.1f} to {max(seconds):.1f}]", end="  "
        )
        print(f"loss mean {statistics.mean(losses):.4f} [{min(losses):.4f} to {max(losses):.4f}]")
    pairs = [ours[0] / theirs[0] for ours, theirs in zip(results["zoo"], results["nanogpt"], strict=True)]
    print(f"time, zoo / nanogpt: median {statistics.median(pairs):.3f} [{min(pairs):.3f} to {max(pairs):.3f}]")


def prepare_nanogpt(clone: Path, text: Path, folder: Path) -> Path:
    """A copy of the clone with its data prepared and its seed taken from the environment."""
    copy = folder / "nanogpt"
    shutil.copytree(clone, copy, ignore=shutil.ignore_patterns(".git"))
    shutil.copy(text, copy / "data" / "shakespeare_char" / "input.txt")
    run([sys.executable, "data/shakespeare_char/prepare.py"], copy)
    script = copy / "train.py"
    source = script.read_text(encoding="utf-8")
    assert "torch.manual_seed(1337 + seed_offset)" in source
    source = source.replace("torch.manual_seed(1337 + seed_offset)", "torch.manual_seed(int(os.environ['SEED']))")
    script.write_text(source, encoding="utf-8")
    return copy


def run_nanogpt(clone: Path, text: Path, folder: Path, seed: int, steps: int) -> tuple[float, float]:
    """Seconds of the whole command, and the loss of the checkpoint it leaves."""
    command = [sys.executable, "train.py", *NANOGPT, f"--out_dir={folder}"]
    command += [f"--max_iters={steps}", f"--lr_decay_iters={steps}"]
    seconds = run(command, clone, SEED=str(seed))[0]
    score = [sys.executable, "-c", SCORE_NANOGPT, str(folder / "ckpt.pt"), "data/shakespeare_char/val.bin"]
    return seconds, float(run(score, clone, PYTHONPATH=str(clone))[1].split()[-1])


def run_zoo(clone: Path, text: Path, folder: Path, seed: int, steps: int) -> tuple[float, float]:
    """Seconds of the whole command, with an empty cache, and the validation loss it reports."""
    command = [sys.executable, "-m", "zoo", "pretrain", "gpt-shakespeare", "--folder", str(folder)]
    command += [f"data.source.path={text}", f"seed={seed}", f"trainer.max_steps={steps}"]
    seconds = run(command, Path.cwd(), ZOO_CACHE=str(folder.parent / f"cache-{seed}"))[0]
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return seconds, result["metrics"]["validation/loss"]


def run(command: list[str], folder: Path, **environment: str) -> tuple[float, str]:
    """Seconds and standard output of a command; what it says on standard error is shown where it fails."""
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - start, done.stdout


if __name__ == "__main__":
    main()
