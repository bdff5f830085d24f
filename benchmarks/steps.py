"""A training step of the same model, ours beside transformers', one process alive at a time, in turn.

    python -m benchmarks.steps [--cases gpt-256 bert …] [--rounds 5] [--steps 6] [--precision 32|bf16]

Both sides train the same architecture from random weights on the same batch, without dropout, with torch's fused AdamW
and SDPA. A step is forward, loss, backward, update; the loss is what each library computes when it is asked to train:
transformers' own from `labels`, ours by `token_loss` on the positions that have a label. Each round starts one process
a side, in alternating order, times its steps after two that do not count, and reads the peak of its resident memory.
Ratios are of neighbouring processes. One process at a time, because several with large allocations disturb each other.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

WARM_UP = 2


class Case(NamedTuple):
    """One model and batch.

    Attributes:
        preset: our named size, and what is changed of it.
        changes: fields of our config.
        foreign: transformers' model class and config class.
        config: arguments of the config class.
        shape: rows and length of a batch; for encoder-decoders also the length of the target.
        scored: share of positions that have a label.
    """

    preset: str
    changes: dict[str, Any]
    foreign: tuple[str, str]
    config: dict[str, Any]
    shape: tuple[int, ...]
    scored: float = 1.0


def _gpt(vocab_size: int) -> Case:
    sizes = {"n_embd": 384, "n_layer": 6, "n_head": 6, "n_positions": 256, "vocab_size": vocab_size}
    drops = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
    return Case(
        "gpt-small",
        {"vocab_size": vocab_size, "dropout": NO_DROPOUT},
        ("GPT2LMHeadModel", "GPT2Config"),
        {**sizes, **drops},
        (8, 256),
    )


NO_DROPOUT = dict.fromkeys(("embedding", "attention", "residual", "feed_forward", "final"), 0.0)
BERT = {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
LLAMA = {
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_hidden_layers": 6,
    "num_attention_heads": 6,
    "num_key_value_heads": 6,
    "vocab_size": 32000,
    "max_position_embeddings": 256,
}
CASES: dict[str, Case] = {
    "gpt-256": _gpt(256),
    "gpt-50257": _gpt(50257),
    "llama": Case(
        "llama-nano",
        {
            "dim": 384,
            "num_layers": 6,
            "num_heads": 6,
            "num_kv_heads": 6,
            "feed_forward_dim": 1024,
            "vocab_size": 32000,
            "max_length": 256,
        },
        ("LlamaForCausalLM", "LlamaConfig"),
        LLAMA,
        (8, 256),
    ),
    "bert": Case(
        "bert-small",
        {
            "dim": 384,
            "num_layers": 6,
            "num_heads": 6,
            "feed_forward_dim": 1536,
            "dropout": NO_DROPOUT,
            "heads": {"next_sentence": None},
        },
        ("BertForMaskedLM", "BertConfig"),
        BERT,
        (16, 128),
        scored=0.15,
    ),
    "t5-small": Case(
        "t5-small",
        {"dropout": NO_DROPOUT},
        ("T5ForConditionalGeneration", "T5Config"),
        {"dropout_rate": 0.0, "decoder_start_token_id": 0},
        (4, 512, 114),
    ),
}


# ------------------------------------------------------------------------------------------------------------- one side


def batch_of(case: Case, vocab_size: int) -> dict[str, Any]:
    """The same token ids and labels on both sides; −100 where nothing is scored."""
    import torch

    generator = torch.Generator().manual_seed(0)
    rows, *lengths = case.shape
    tokens = torch.randint(5, vocab_size, (rows, lengths[0]), generator=generator)
    labels = tokens if len(lengths) == 1 else torch.randint(5, vocab_size, (rows, lengths[1]), generator=generator)
    scored = torch.rand(labels.shape, generator=generator) < case.scored
    return {"tokens": tokens, "labels": labels.where(scored, -100)}


class Side(NamedTuple):
    """What one side trains with.

    Attributes:
        parameters: number of trained numbers; both sides must have as many.
        step: trains once and returns the loss.
    """

    parameters: int
    step: Callable[[], Any]


def zoo_side(case: Case) -> Side:
    """Ours."""
    import torch
    from torch.nn import functional

    import zoo
    from zoo.nn.loss import token_loss
    from zoo.training.optimizers import AdamWConfig

    model = zoo.create_model(case.preset, **case.changes).train()
    optimizer = AdamWConfig(learning_rate=1e-4).build(model)
    batch = batch_of(case, model.config.vocab_size or 0)
    labels, inputs = batch["labels"], {"tokens": batch["tokens"]}
    if model.config.kind == "decoder":
        labels = functional.pad(labels, (0, 1), value=-100)[:, 1:]
    if model.config.kind == "encoder_decoder":
        inputs["decoder_tokens"] = functional.pad(labels, (1, 0), value=0)[:, :-1]
    labels_N = labels.flatten()
    scored_N = (labels_N != -100).nonzero()[:, 0]

    def step() -> torch.Tensor:
        hidden_BTD = model.backbone(**inputs)
        loss = token_loss(model.heads["language_model"], hidden_BTD.flatten(0, 1)[scored_N], labels_N[scored_N])
        loss = loss / len(scored_N)
        with torch.autocast("cpu", enabled=False):
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return Side(sum(parameter.numel() for parameter in model.parameters()), step)


def transformers_side(case: Case) -> Side:
    """transformers'."""
    import torch
    import transformers

    config = getattr(transformers, case.foreign[1])(**case.config)
    model = getattr(transformers, case.foreign[0])._from_config(config, attn_implementation="sdpa").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.999), weight_decay=0.01, fused=True)
    batch = batch_of(case, config.vocab_size)

    def step() -> torch.Tensor:
        loss = model(input_ids=batch["tokens"], labels=batch["labels"]).loss
        with torch.autocast("cpu", enabled=False):
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return Side(sum(parameter.numel() for parameter in model.parameters()), step)


SIDES = {"zoo": zoo_side, "transformers": transformers_side}


def work(side: str, case: str, steps: int, precision: str) -> None:
    """In a process of its own: builds, steps, prints seconds of each step and the peak of the resident memory."""
    import torch

    parameters, step = SIDES[side](CASES[case])
    lowered = torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else contextlib.nullcontext()
    seconds, losses = [], []
    for _ in range(WARM_UP + steps):
        start = time.perf_counter()
        with lowered:
            losses.append(float(step()))
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"parameters": parameters, "seconds": seconds[WARM_UP:], "peak_mib": peak, "losses": losses}))


# ----------------------------------------------------------------------------------------------------------- both sides


def main() -> None:
    """Runs the cases and prints a table row for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--precision", choices=("32", "bf16"), default="32")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        work(arguments.side, arguments.cases[0], arguments.steps, arguments.precision)
        return
    print("| case | zoo, s | transformers, s | step, ratio | zoo, MiB | transformers, MiB | memory, ratio |")
    print("|---|---|---|---|---|---|---|")
    for case in arguments.cases:
        print(row(case, arguments.rounds, arguments.steps, arguments.precision), flush=True)


def row(case: str, rounds: int, steps: int, precision: str) -> str:
    """One case: medians of each side, medians and ranges of the ratios of neighbouring processes."""
    results: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for number in range(rounds):
        for side in SIDES if number % 2 == 0 else reversed(SIDES):
            command = [sys.executable, "-m", "benchmarks.steps", "--side", side, "--cases", case]
            command += ["--steps", str(steps), "--precision", precision]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
            results[side].append(json.loads(done.stdout.splitlines()[-1]))
    if len({run["parameters"] for runs in results.values() for run in runs}) > 1:
        sys.exit(f"{case}: the models differ: { ({s: r[0]['parameters'] for s, r in results.items()}) } parameters")
    medians = {side: [statistics.median(r["seconds"]) for r in runs] for side, runs in results.items()}
    peaks = {side: [r["peak_mib"] for r in runs] for side, runs in results.items()}
    cells = [case]
    for figures, form in ((medians, "{:.3f}"), (peaks, "{:.0f}")):
        cells += [form.format(statistics.median(figures[side])) for side in SIDES]
        ratios = [ours / theirs for ours, theirs in zip(figures["zoo"], figures["transformers"], strict=True)]
        cells.append(f"{statistics.median(ratios):.3f} [{min(ratios):.3f} to {max(ratios):.3f}]")
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
