"""Runs that take a second: a small text with documents of unequal length, and a config for each kind of run."""

import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.checkpoint.folder import steps_of
from zoo.checkpoint.tensors import load_tensors, load_tree
from zoo.training.config import RunConfig
from zoo.training.shipped import load_run

WORDS = [
    "a",
    "list",
    "of",
    "words",
    "in",
    "the",
    "text",
    "has",
    "no",
    "end",
    "but",
    "one",
    "is",
    "the",
    "first",
    "that",
    "we",
    "read",
    "and",
    "then",
    "they",
    "all",
    "come",
]

SIZE = "dim: 16, num_layers: 2, num_heads: 2, feed_forward_dim: 32, max_length: 40, vocab_size: null"
ENCODER = (
    f"{{preset: bert-nano, {SIZE}}}",
    "bert",
)
DECODER = (f"{{preset: gpt-nano, {SIZE}}}", "gpt")
MIXTURE = (
    "{kind: mixture, num_experts: 4, num_shared_experts: 1, router: {scoring: sigmoid, balancing: "
    "{kind: bias, rate: 0.01}}}"
)
EXPERTS = (f"{{preset: gpt-nano, feed_forward: {MIXTURE}, {SIZE}}}", "gpt")
ENCODER_DECODER = (f"{{preset: t5-nano, head_dim: 8, {SIZE}}}", "t5")

KINDS: dict[str, tuple[tuple[str, str], str]] = {
    "bert": (ENCODER, "{masked_lm: {kind: masked_lm, weight: 0.7}, next_sentence: {kind: next_sentence}}"),
    "gpt": (DECODER, "{causal_lm: {kind: causal_lm, packing: none}}"),
    "experts": (EXPERTS, "{causal_lm: {kind: causal_lm, packing: none}}"),
    "t5": (ENCODER_DECODER, "{span_corruption: {kind: span_corruption, packing: none}}"),
    "shares": (
        ENCODER,
        "{masked_lm: {kind: masked_lm, share: 0.6, packing: none}, "
        "next_sentence: {kind: next_sentence, share: 0.4, weight: 0.5}}",
    ),
}
"""Model, special tokens and objectives by kind of run: three families, experts, objectives that take rows in turn."""

ENCODERS = ("bert", "shares")
"""Those whose model is an encoder."""

CLOCKS = ("seconds", "tokens_per_second", "mfu", "memory/process", "memory/system", "utilization/process")
"""Columns of the log that are of the machine, not of the run."""

FULL = Path("/dev/full")
"""A device of Linux on which there is no space for anything."""

DROPOUT = [f"model.dropout.{place}=0.1" for place in ("embedding", "attention", "residual", "depth")]


def write_text(path: Path, seed: int = 0, documents: int = 60) -> Path:
    """A text of paragraphs of one to six sentences; each is a document."""
    draw = random.Random(seed)
    paragraphs = []
    for _ in range(documents):
        sentences = [
            " ".join(draw.choices(WORDS, k=draw.randint(2, 7))).capitalize() for _ in range(draw.randint(1, 6))
        ]
        paragraphs.append(". ".join(sentences) + ".")
    path.write_text("\n\n".join(paragraphs), encoding="utf-8")
    return path


def write_config(folder: Path, kind: str) -> Path:
    """The YAML of a run, in a folder that gets its text and its cache too."""
    (model, tokens), objectives = KINDS[kind]
    text = folder / "text.txt"
    if not text.exists():
        write_text(text)
    path = folder / f"{kind}.yaml"
    path.write_text(
        f"""name: {kind}
model: {model}
tokenizer: {{kind: bytes, special_tokens: {tokens}}}
data:
  source: {{kind: text, path: {text}, document: blank_line}}
  validation_fraction: 0.2
  cache: {folder / "cache"}
objectives: {objectives}
optimizer: {{kind: adamw, learning_rate: 3.0e-3}}
schedule: {{kind: linear, warmup_steps: 1}}
trainer: {{max_steps: 4, batch_size: 8, log_every: 1, accelerator: cpu}}
""",
        encoding="utf-8",
    )
    return path


def tiny_run(folder: Path, kind: str, *settings: str) -> RunConfig:
    """The config of a run, with settings over it."""
    return load_run(write_config(folder, kind), settings).config


def newest(run: Path) -> Path:
    """The newest checkpoint of a run folder."""
    return steps_of(run / "checkpoints")[0][1]


def weights(run: Path) -> dict[str, Tensor]:
    """The final weights of a run, by name."""
    return load_tensors(newest(run) / "model" / "model.safetensors")


def moments(run: Path) -> dict[str, Tensor]:
    """The tensors of the optimizer, by name."""
    return load_tensors(newest(run) / "trainer.safetensors")


def counters(run: Path) -> dict[str, Any]:
    """All of the newest checkpoint's training state that is no tensor and no clock."""
    tree = load_tree(newest(run), "trainer")
    (state,) = tree.pop("callbacks").values()
    state.pop("seconds")
    for clock in CLOCKS:
        state["last"].pop(clock, None)
    for optimizer in tree["optimizer_states"]:
        optimizer.pop("state")
    return {**tree, "conductor": state}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether two sets of tensors are equal bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest ‖Δ‖ of a tensor, relative to its norm or, where that is larger, to the mean norm of all."""
    assert one.keys() == other.keys()
    norms = {name: float(tensor.double().norm()) for name, tensor in other.items()}
    mean = sum(norms.values()) / len(norms)
    gaps = {name: float((one[name].double() - tensor.double()).norm()) for name, tensor in other.items()}
    return max(gap / max(norms[name], mean) for name, gap in gaps.items())


def rows_without_clocks(run: Path) -> list[str]:
    """metrics.csv line by line, without the columns that measure time."""
    from zoo.training.metrics_file import read_metrics

    rows = read_metrics(run / "metrics.csv")
    return [str({name: value for name, value in row.items() if name not in CLOCKS}) for row in rows]


def logs_without_clocks(run: Path) -> dict[str, Any]:
    """All that a run has logged, but for what measures the machine: rows, samples, the file of each validation."""
    files = sorted((run / "evaluation").iterdir())
    return {
        "metrics": rows_without_clocks(run),
        "samples": (run / "samples.jsonl").read_text(encoding="utf-8"),
        **{path.name: path.read_text(encoding="utf-8") for path in files},
    }


def shrink(folder: Path, document: str = "blank_line") -> list[str]:
    """Settings that make a run of any shipped config a matter of a second, on a small text in `folder`.

    Args:
        folder: gets the text and the cache.
        document: what of the text is a document: a paragraph ("blank_line") or all of it ("file").
    """
    return [
        "model.dim=32",
        "model.num_layers=1",
        "model.num_heads=2",
        "model.feed_forward_dim=48",
        "model.max_length=64",
        "model.vocab_size=null",
        f"data.source={{kind: text, path: {write_text(folder / 'text.txt')}, document: {document}}}",
        "data.validation_fraction=0.2",
        f"data.cache={folder / 'cache'}",
        "schedule.warmup_share=null",
        "schedule.warmup_steps=1",
        "trainer.max_hours=null",
        "trainer.max_steps=2",
        "trainer.batch_size=4",
        "trainer.batch_warmup=null",
        "trainer.length_warmup=null",
        "trainer.accumulate=1",
        "trainer.log_every=1",
        "trainer.num_workers=0",
        "trainer.accelerator=cpu",
    ]
