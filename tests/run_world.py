"""Where perturbed runs live: a folder with a text in every form that a source reads, a library, tokenizers, weights;
and what fields begin with, and become, that names something in it.

Everything is named by relative paths, so a config can be written down before the folder is there.
"""

import csv
import importlib.util
import json
import random
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zoo.checkpoint.model import save_model
from zoo.config import build
from zoo.data import stdlib
from zoo.models import ModelConfig
from zoo.objectives.base import ObjectiveConfig
from zoo.tokenizer.tokenizer import Tokenizer
from zoo.tokenizer.train import BytesConfig, TokenizerConfig

TOKENS = {"encoder": "bert", "decoder": "t5", "encoder_decoder": "t5"}
"""Special tokens by family of model. T5's have an end, which causal language models need, and an unknown one."""

EXTRAS = {"parquet": "pyarrow", "huggingface": "datasets"}
"""Sources that read by a library which may be missing."""


STARTS: dict[str, Any] = {
    "tokenizer=*.special_tokens": "t5",
    "tokenizer=*.vocab_size": 400,
    "tokenizer=*.training_characters": 2500,
    "tokenizer=file.path": "tokenizer",
    "data.**=text.path": "text.txt",
    "data.**=text.document": "blank_line",
    "data.**=jsonl.path": "lines.jsonl",
    "data.**=csv.path": "table.csv",
    "data.**=parquet.path": "table.parquet",
    "data.**=huggingface.dataset": "./set",
    "data.**=stdlib.parts": ["docs", "code"],
    "data.source=mixture.sources.main=*.share": 1.0,
    "data.source=mixture.sources": {
        "one": {"kind": "text", "path": "text.txt", "document": "blank_line", "share": 1.0},
        "two": {"kind": "text", "path": "other-text.txt", "document": "blank_line", "share": 2.0},
        "three": {"kind": "jsonl", "path": "lines.jsonl", "share": 3.0},
    },
    "objectives.main=next_sentence.short_share": 0.5,
    "optimizer=*.beta1": 0.4,
    "optimizer=*.parts.main.match": ["*.bias"],
    "optimizer=*.parts.main.rate": 0.5,
    "optimizer=adafactor.factored_from": 8,
    "schedule=inverse_square_root.warmup_steps": 2,
    "trainer.batch_warmup.start": 2,
    "trainer.batch_warmup.increment": 2,
    "trainer.batch_warmup.steps": 2,
    "trainer.length_warmup.start": 16,
    "trainer.length_warmup.increment": 16,
    "trainer.length_warmup.steps": 2,
}
"""Values that fields of a kind or a group have before they are changed: what is required, what is small enough."""

OTHERS: dict[str, list[Any]] = {
    "name": ["other"],
    "init_from": ["weights"],
    "tokenizer=file.path": ["other-tokenizer"],
    "tokenizer=file.add_tokens": [["<|x|>"]],
    "data.**=text.path": ["other-text.txt"],
    "data.**=text.document_start": ["^# "],
    "data.**=jsonl.path": ["other-lines.jsonl"],
    "data.**=jsonl.field": ["other"],
    "data.**=csv.path": ["other-table.csv"],
    "data.**=csv.column": ["other"],
    "data.**=csv.columns": [["other", "text"]],
    "data.**=csv.delimiter": [";"],
    "data.**=parquet.path": ["other-table.parquet"],
    "data.**=parquet.column": ["other"],
    "data.**=huggingface.dataset": ["./other-set"],
    "data.**=huggingface.config": ["second"],
    "data.**=huggingface.split": ["test"],
    "data.**=huggingface.column": ["other"],
    "data.**=huggingface.revision": ["main"],
    "data.cache": ["other-cache"],
    "optimizer=*.parts.main.match": [["backbone.*"]],
    "samples.prompts": [["ba"]],
    "wandb.project": ["other"],
    "wandb.entity": ["someone"],
}
"""Other values of fields that hold free text."""


def base_run(objective: type[ObjectiveConfig]) -> dict[str, Any]:
    """The plain data of a run of four steps that trains on an objective called `main`."""
    family = objective.families[0]
    return {
        "name": "run",
        "model": model(family, objective.head),
        "tokenizer": {"kind": "bytes", "special_tokens": TOKENS[family]},
        "data": {
            "source": {"kind": "text", "path": "text.txt", "document": "blank_line"},
            "validation_fraction": 0.2,
            "cache": "cache",
        },
        "objectives": {"main": {"kind": objective.kind}},
        "optimizer": {"kind": "adamw"},
        "schedule": {"kind": "constant"},
        "trainer": {
            "max_steps": 4,
            "batch_size": 6,
            "validate_every": 2,
            "save_every": 2,
            "log_every": 1,
            "accelerator": "cpu",
        },
    }


def model(family: str, head: str) -> dict[str, Any]:
    """The plain data of a small model with one head."""
    segments = {"embedding": {"num_segments": 2}} if family == "encoder" else {}
    size = {"dim": 8, "num_layers": 2, "num_heads": 2, "max_length": 48}
    return {"kind": family, **size, **segments, "heads": {head: {"kind": head}}}


def documents(seed: int = 0) -> list[str]:
    """Texts that every setting of a tokenizer and of a filter finds something in."""
    draw = random.Random(seed)
    syllables = [first + then for first in "bdfgklmnprstvz" for then in "aeiou"]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 3))) for _ in range(200)]
    words += ["2026"] * 20 + ["Größe", unicodedata.normalize("NFD", "Größe"), "ﬁn", "31415", "don't", "Ünder", "½"]
    texts = []
    for _ in range(60):
        sentences = [
            " ".join(draw.choices(words, k=draw.randint(1, 4))).capitalize() for _ in range(draw.randint(2, 8))
        ]
        texts.append(". ".join(sentences) + ".")
    mixed = "mp3 x86 " * 12  # letters and digits in one word
    return [mixed, *texts[:20], "x", *texts[5:8], *texts[20:], "yz", "你", "好"]


def write_world(folder: Path) -> None:
    """Fills an empty folder."""
    for name, seed in (("", 0), ("other-", 1)):
        texts = documents(seed)
        paragraphs = "\n\n".join(texts)
        headings = "\n\n".join(f"# {number}\n{text}" for number, text in enumerate(texts))
        (folder / f"{name}text.txt").write_text(paragraphs, encoding="utf-8")
        (folder / f"{name}headings.txt").write_text(headings, encoding="utf-8")
        _write_tables(folder, name, texts)
        _write_set(folder / f"{name}set", texts)
    BytesConfig(special_tokens=TOKENS["decoder"]).train().save(folder / "tokenizer")
    _trained(documents()).save(folder / "other-tokenizer")
    _write_weights(folder / "weights", seed=7)
    _write_library(folder / "library")


def _write_tables(folder: Path, name: str, texts: list[str]) -> None:
    backwards = [text[::-1] for text in texts]
    with (folder / f"{name}lines.jsonl").open("w", encoding="utf-8") as file:
        for text, other in zip(texts, backwards, strict=True):
            file.write(json.dumps({"text": text, "other": other}) + "\n")
    with (folder / f"{name}table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text", "other"], *zip(texts, backwards, strict=True)])
    # a comma and a semicolon both make a table of this, with another column called text
    rows = [f"{text.replace(',', '')},c;{number} {text[:9]}" for number, text in enumerate(texts)]
    (folder / f"{name}semicolons.csv").write_text("\n".join(["text,c;text", *rows]), encoding="utf-8")
    if importlib.util.find_spec("pyarrow"):
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({"text": texts, "other": backwards}), folder / f"{name}table.parquet")


def _write_set(folder: Path, texts: list[str]) -> None:
    """A data set like one of the hub: two configurations, one of two splits."""
    folder.mkdir()
    card = ["---", "configs:", "- config_name: first", "  default: true", "  data_files:"]
    card += ["  - {split: train, path: train.jsonl}", "  - {split: test, path: test.jsonl}"]
    card += ["- config_name: second", "  data_files: [{split: train, path: second.jsonl}]", "---"]
    (folder / "README.md").write_text("\n".join(card), encoding="utf-8")
    for name, some in (("train", texts), ("test", texts[:30]), ("second", texts[::-1])):
        lines = [json.dumps({"text": text, "other": text[::-1]}) for text in some]
        (folder / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")


def _trained(texts: list[str]) -> Tokenizer:
    config = {"kind": "byte_level_bpe", "vocab_size": 380, "special_tokens": TOKENS["decoder"]}
    return build(TokenizerConfig, config).train(texts)


def _write_weights(folder: Path, seed: int) -> None:
    """A model folder that the run on causal language modelling can start from."""
    tokenizer = BytesConfig(special_tokens=TOKENS["decoder"]).train()
    config = {**model("decoder", "language_model"), "vocab_size": tokenizer.vocab_size}
    save_model(build(ModelConfig, config).build(seed), tokenizer, folder)


def _write_library(folder: Path) -> None:
    """A standard library of some modules: with docstrings, equal, of one character, in two Unicode forms."""
    (folder / "pydoc_data").mkdir(parents=True)
    topics = {f"topic{number}": text for number, text in enumerate(documents(2)[:25])}
    (folder / "pydoc_data" / "topics.py").write_text(f"topics = {topics!r}\n", encoding="utf-8")
    for number, text in enumerate(documents(3)[:25]):
        (folder / f"module{number}.py").write_text(f'"""{text}"""\n\nvalue = {number}\n', encoding="utf-8")
    for name in ("one", "same"):
        (folder / f"{name}.py").write_text("1", encoding="utf-8")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder, which is where tests run; the standard library is the one in it, and nothing is fetched or sent."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    caches = (stdlib._files, stdlib._modules, stdlib._docs)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(stdlib, "_library", lambda: folder / "library")
        for name in ("WANDB_API_KEY", "WANDB_MODE", "MASTER_ADDR"):
            patch.delenv(name, raising=False)
        if importlib.util.find_spec("datasets"):
            import datasets

            patch.setattr(datasets.config, "HF_DATASETS_CACHE", str(folder / "hub"))
        for cache in caches:
            cache.cache_clear()
        yield folder
    for cache in caches:
        cache.cache_clear()
