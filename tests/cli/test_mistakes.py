"""What people get wrong, and what they are told: the key, the value, what is legal, what to do.

Each row is a command as it is typed in a folder with three tiny configs, a text and some bad files, and words of the
one sentence that answers it. No row may end in a traceback, in an "unexpected" error, or well. What a wandb that hangs
does to a run (nothing) is in tests/training/test_wandb_log.py.
"""

import errno
import os
import re
import resource
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.tiny import MODELS, SENTENCES, Command, Outcome, tiny_config
from zoo.data.sources import TextConfig
from zoo.training.run_folder import RunFolder
from zoo.training.shipped import load_run

GPT, BERT, T5 = (f"config tiny-{family}.yaml" for family in ("decoder", "encoder", "encoder_decoder"))
RUN = "pretrain tiny-decoder.yaml"

CONFIGS: dict[str, str] = {
    # keys
    f"{GPT} model.positionz=rotary": "model.positionz; did you mean 'positions'?; legal: attention",
    f"{GPT} modle.dim=32": "modle; did you mean 'model'?; legal:; data, init_from",
    f"{GPT} trainer.max_step=10": "trainer.max_step; did you mean 'max_steps'?",
    f"{GPT} model.dropout.atention=0.1": "model.dropout.atention; did you mean 'attention'?",
    f"{GPT} model.positions.theta=1e4": "model.positions.theta; learned; legal: kind, offset",
    f"{GPT} schedule.final=2": "schedule.final; constant; legal: kind",
    f"{GPT} tokenizer.vocab_size=100": "tokenizer.vocab_size; bytes; legal: kind, special_tokens",
    f"{BERT} model.causal=true": "model.causal; encoder; legal: attention",
    f"{T5} model.decoder.preset=gpt-nano": "model.decoder.preset; legal: attention",
    f"{GPT} trainer": "'trainer'; write key=value; trainer.max_steps=100",
    f"{GPT} =3": "'=3'; write key=value",
    # types
    f"{GPT} trainer.max_steps=ten": "trainer.max_steps; 'ten'; whole number",
    f"{GPT} trainer.max_steps=1.5": "trainer.max_steps; 1.5; whole number",
    f"{GPT} trainer.max_steps=5 trainer.max_steps.x=3": "trainer.max_steps; {'x': 3}; whole number",
    f"{GPT} trainer.gradient_clip=nan": "trainer.gradient_clip; 'nan'; number or null",
    f"{GPT} optimizer.learning_rate=inf": "optimizer.learning_rate; 'inf'; number",
    f"{GPT} optimizer.learning_rate=1e-3x": "optimizer.learning_rate; '1e-3x'; number",
    f"{GPT} model.dim=none": "model.dim; 'none'; whole number",
    f"{GPT} name=": "name; None; text",
    f"{GPT} model=5": "model; 5; group of settings",
    f"{GPT} trainer=[1,2]": "trainer; [1, 2]; group of settings; legal keys: max_steps",
    f"{GPT} data.source.path=": "data.source.path; None; text",
    # ranges
    f"{GPT} trainer.max_steps=0": "trainer.max_steps; 0; at least 1",
    f"{GPT} trainer.batch_size=-1": "trainer.batch_size; -1; at least 1",
    f"{GPT} trainer.gradient_clip=0": "trainer.gradient_clip; above 0",
    f"{GPT} optimizer.learning_rate=0": "optimizer.learning_rate; above 0",
    f"{GPT} optimizer.beta1=1.0": "optimizer.beta1; 1.0; below 1",
    f"{GPT} optimizer.weight_decay=-0.1": "optimizer.weight_decay; -0.1; at least 0",
    f"{GPT} model.head_dim=0": "model.head_dim; 0; at least 1",
    f"{GPT} model.dropout.attention=1.5": "model.dropout.attention; 1.5; below 1",
    f"{GPT} objectives.causal_lm.weight=0": "objectives.causal_lm.weight; above 0",
    f"{GPT} data.validation_fraction=1": "data.validation_fraction; 1.0; below 1",
    f"{GPT} data.validation_fraction=-0.1": "data.validation_fraction; -0.1; at least 0",
    f"{GPT} seed=-1": "seed; -1; at least 0",
    f"{GPT} data.source.filter.minimum_characters=0": "data.source.filter.minimum_characters; 0; at least 1",
    f"{BERT} objectives.masked_lm.rate=0": "objectives.masked_lm.rate; above 0",
    f"{BERT} objectives.masked_lm.rate=1.5": "objectives.masked_lm.rate; 1.5; at most 1",
    f"{BERT} objectives.masked_lm.mask_share=2": "objectives.masked_lm.mask_share; at most 1",
    f"{T5} objectives.span_corruption.density=0": "objectives.span_corruption.density; above 0",
    f"{T5} objectives.span_corruption.mean_span_length=0.5": "objectives.span_corruption.mean_span_length; at least 1",
    f"{T5} model.decoder.num_layers=0": "model.decoder.num_layers; 0; at least 1",
    # choices
    f"{GPT} trainer.precision=fp16": "trainer.precision; 'fp16'; 32-true, bf16-mixed",
    f"{GPT} trainer.accelerator=tpu": "trainer.accelerator; 'tpu'; auto, cpu, gpu, mps",
    f"{GPT} optimizer.kind=adam": "optimizer.kind; 'adam'; did you mean 'adamw'?; legal:",
    f"{GPT} schedule.kind=cosin": "schedule.kind; 'cosin'; did you mean 'cosine'?; legal: constant",
    f"{GPT} model.preset=gpt-nan": "model.preset; 'gpt-nan'; did you mean 'gpt-nano'?; bert-base",
    f"{GPT} model.positions=rotery": "model.positions.kind; 'rotery'; did you mean 'rotary'?; alibi",
    f"{GPT} model.norm=layernorm": "model.norm.kind; 'layernorm'; did you mean 'layer_norm'?; rms_norm",
    f"{GPT} model.placement=before": "model.placement; 'before'; branch_output, none, post, pre, sandwich",
    f"{GPT} model.feed_forward=swiglu": "model.feed_forward.kind; 'swiglu'; gated, mixture, none, plain",
    f"{GPT} model.feed_forward.activation=gleu": "model.feed_forward.activation; did you mean 'gelu'?; silu",
    f"{GPT} model.attention.kernel=flash": "model.attention.kernel; 'flash'; auto, flex, reference, sdpa",
    f"{GPT} model.initialization=bertt": "model.initialization.kind; did you mean 'bert'?; deepnorm",
    f"{GPT} data.source.kind=textt": "data.source.kind; 'textt'; did you mean 'text'?; jsonl",
    f"{GPT} data.source.document=page": "data.source.document; 'page'; file, line, blank_line",
    f"{GPT} data.source.document_start=x": "data.source.document_start; 'x'; document=file; 'blank_line'",
    f"{GPT} data.source.document=file 'data.source.document_start=(a'": "document_start; '(a'; no regular expression",
    f"{GPT} data.source.filter.normalization=nfc": "data.source.filter.normalization; 'nfc'; none, NFC",
    f"{GPT} tokenizer.kind=bpe": "tokenizer.kind; 'bpe'; did you mean 'byte_level_bpe'?; wordpiece",
    f"{GPT} tokenizer.special_tokens=llama": "tokenizer.special_tokens; 'llama'; bert, gpt, t5",
    # what does not go together, or would do nothing
    f"{GPT} trainer.accumulate=3": "trainer.batch_size; 4 rows; 3 microbatches; multiple of 3",
    f"{GPT} trainer.devices=3": "trainer.batch_size; 4 rows; devices; multiple of 3",
    f"{GPT} optimizer.beta1=0.9995": "optimizer.beta1; 0.9995; beta2=0.999",
    f"{GPT} schedule.warmup_steps=100": "schedule.warmup_steps; 100; max_steps=4",
    f"{GPT} model.kind=gpt": "model.kind; 'gpt'; preset gpt-nano; 'decoder'",
    f"{GPT} model.num_heads=3": "model.num_heads; 3 heads; dim=16; divisor or set head_dim",
    f"{GPT} model.num_kv_heads=3": "model.num_kv_heads; 3; num_heads=2; legal: 1, 2",
    f"{GPT} 'model.positions={{kind: rotary, width: 3}}'": "model.positions.width; 3; even; head_dim=8",
    f"{GPT} 'model.attention={{kernel: sdpa, cap: 30}}'": "model.attention.kernel; 'sdpa'; cap=30.0; flex, reference",
    f"{GPT} model.heads.next_sentence.kind=next_sentence": "model.heads.next_sentence; 'decoder'; it fits: encoder",
    f"{GPT} model.heads.language_model=null": "objectives.causal_lm; head language_model; does not have",
    f"{GPT} objectives.causal_lm.kind=masked_lm": "objectives.causal_lm; masked_lm; decoder; causal_lm",
    f"{GPT} objectives.causal_lm.share=0.5": "objectives.causal_lm.share; one objective only; leave it out",
    f"{GPT} objectives.causal_lm=null": "objectives; needs an objective; causal_lm, masked_lm",
    f"{GPT} objectives.other.kind=causal_lm": "objectives.other; same rows; `share`",
    f"{GPT} wandb.project=mine": "wandb; no effect; wandb.enabled=true",
    f"{GPT} name=a/b": "name; 'a/b'; letters, digits",
    f"{BERT} objectives.next_sentence.kind=causal_lm": "objectives.next_sentence; causal_lm; encoder; masked_lm",
    f"{BERT} model.norm=batch_norm trainer.accumulate=2": "trainer.accumulate; 2; model.norm; use 1",
    f"{GPT} model.max_length=1": "model.max_length; 1; causal_lm; 3 at least",
    f"{BERT} model.embedding.num_segments=1": "model.embedding.num_segments; 1; next_sentence; set 2",
    f"{GPT} init_from.path=gone": "init_from; {'path': 'gone'}; not text; init_from=gone",
    f"{GPT} init_from=gone": "init_from: gone is missing; run, a checkpoint or a model folder",
    # how long a run is
    f"{GPT} trainer.max_tokens=1e6": "trainer.max_tokens; max_steps=4 and max_tokens=1000000; trainer.max_steps=null",
    f"{GPT} trainer.max_steps=null": "trainer; how long; trainer.max_steps, trainer.max_tokens",
    f"{GPT} trainer.max_steps=null trainer.max_tokens=-1": "trainer.max_tokens; -1; above 0",
    f"{GPT} trainer.max_steps=null trainer.max_flops=0": "trainer.max_flops; above 0",
    f"{GPT} trainer.max_steps=null trainer.max_hours=soon": "trainer.max_hours; 'soon'; number",
    f"{GPT} trainer.max_steps=null trainer.max_hours=1 schedule.warmup_steps=2": (
        "schedule.warmup_steps; 2; trainer.max_hours=1; schedule.warmup_hours or schedule.warmup_share"
    ),
    f"{GPT} schedule.warmup_tokens=9": "schedule.warmup_tokens; 9; trainer.max_steps=4; schedule.warmup_share",
    f"{GPT} 'trainer.batch_warmup={{start: 4, increment: 1, steps: 2}}'": (
        "trainer.batch_warmup.start; 4; below batch_size=4"
    ),
    # files of configs
    "config nothing.yaml": "nothing.yaml; shipped configs:; bert-base",
    "config bert-nan": "'bert-nan'; did you mean 'bert-nano'?; path of a .yaml file",
    "config folder": "folder is a folder; shipped configs",
    "config broken.yaml": "broken.yaml; not valid YAML; line 2",
    "config list.yaml": "list.yaml; key: value; not a list",
    "config table.yaml": "table.yaml is no config; plain text; zoo config <name> --yaml",
    "describe table.yaml": "table.yaml is no config; plain text; zoo config <name> --yaml",
    "config twice.yaml": "twice.yaml; duplicate key name; line 2",
    "config bomb.yaml": "bomb.yaml; more than 10,000 values",
    "config tab.yaml": "tab.yaml; not valid YAML; line 2",
    "config latin.yaml": "latin.yaml; not UTF-8",
    # of earlier versions
    "config old.yaml": "model.num_decoder_layers; an earlier version; write model.decoder.num_layers=2",
    f"{T5} model.num_decoder_layers=3": "an earlier version; write model.decoder.num_layers=3",
    f"{GPT} objectives.causal_lm.begin=true": "objectives.causal_lm.begin; an earlier version; leave it out",
    f"{GPT} model.attention.query_key_norm=rms_norm": "attention.query_key_norm; write query_key_norm.norm=rms_norm",
    f"{GPT} 'model.attention.query_key_norm={{kind: l2_norm}}'": "query_key_norm.kind; query_key_norm.norm=l2_norm",
    f"{GPT} model.residual=off": "model.residual; an earlier version; write none",
    f"{GPT} model.residual.kind=off": "model.residual.kind; an earlier version; write none",
    f"{GPT} model.attention.scale=0.5": "model.attention.scale; 0.5; did you mean {kind: constant, value: 0.5}?",
    # data sets
    f"{GPT} 'data.source={{kind: parquet}}'": "data.source.path; is required; .parquet files; glob",
    f"{GPT} 'data.source={{kind: parquet, path: a, column: \"\"}}'": "data.source.column; must name a column",
    f"{GPT} 'data.source={{kind: parquet, path: a, field: text}}'": "data.source.field; legal: column, filter",
    f"{GPT} 'data.source={{kind: huggingface}}'": "data.source.dataset; is required; owner/name",
    f"{GPT} 'data.source={{kind: huggingface, path: owner/name}}'": "data.source.path; legal: column, config, dataset",
    f"{GPT} 'data.source={{kind: huggingface, dataset: \"https://hub/owner/name\"}}'": (
        "data.source.dataset; 'https://hub/owner/name'; (owner/name); path that begins with / ./ ../ or ~"
    ),
    f"{GPT} 'data.source={{kind: huggingface, dataset: owner/name, streaming: true}}'": "data.source.streaming; legal:",
    f"{GPT} 'data.source={{kind: huggingface, dataset: owner/name, trust_remote_code: true}}'": (
        "data.source.trust_remote_code; legal:"
    ),
    f"{GPT} 'data.source={{kind: huggingface, dataset: ./set, revision: main}}'": (
        "data.source.revision; 'main'; ./set is a folder; leave it out"
    ),
    f"{GPT} 'data.source={{kind: huggingface, dataset: owner/name, max_documents: 0}}'": (
        "data.source.max_documents; 0; at least 1"
    ),
    f"{GPT} 'data.source={{kind: huggingface, dataset: owner/name, max_characters: all}}'": (
        "data.source.max_characters; 'all'; whole number or null"
    ),
}

SETS: dict[str, str] = {
    "{kind: parquet, path: gone.parquet}": "no file or folder at gone.parquet; looked from",
    "{kind: parquet, path: 'gone/*.parquet'}": "no file matches gone/*.parquet; looked from",
    "{kind: parquet, path: folder}": "no file in folder ends in .parquet; a glob",
    "{kind: parquet, path: text.txt}": "cannot read text.txt; Parquet",
    "{kind: parquet, path: set/torn.parquet}": "cannot read set/torn.parquet; Parquet",
    "{kind: parquet, path: set/train.parquet, column: txt}": "train.parquet: ; 'txt'; did you mean 'text'?; id, text",
    "{kind: parquet, path: set/train.parquet, column: id}": "train.parquet, row 1; text or lists of texts; not int64",
    "{kind: huggingface, dataset: ./gone}": "no folder at ./gone; looked from",
    "{kind: huggingface, dataset: ./folder}": "cannot open the data set; folder; data files",
    "{kind: huggingface, dataset: whole}": "'whole' is a folder here as well; write ./whole",
    "{kind: huggingface, dataset: ./whole, split: trian}": "split 'trian'; did you mean 'train'?; legal: train",
    "{kind: huggingface, dataset: ./whole, config: english}": "cannot open the data set; 'english'; 'default'",
    "{kind: huggingface, dataset: ./whole, column: txt}": "./whole, split train: ; 'txt'; mean 'text'?; id, text",
    "{kind: huggingface, dataset: ./whole, column: id}": "./whole, split train, row 1; lists of texts; not int64",
    "{kind: huggingface, dataset: owner/name}": "owner/name of the hub (a folder would be ./owner/name); Offline",
}
"""Values of data.source that are found wrong when the data is read."""

COMMANDS: dict[str, str] = {
    "pretrain": "config; --help",
    "pretran bert-nano": "'pretran'; did you mean 'pretrain'?; legal:",
    f"{RUN} --fodler=x": "--fodler; --folder",
    "fill": "folder; --help",
    "list nothing": "'nothing'; legal:",
    "describe gpt3": "'gpt3'; did you mean 'gpt2'?",
    "describe gpt2 positions=rotery": "positions.kind; did you mean 'rotary'?",
    # data and tokenizers
    f"{RUN} data.source.path=gone.txt": "gone.txt; looked from",
    f"{RUN} data.source.path=empty.txt": "empty",
    f"{RUN} data.source.path=short.txt data.source.document=file": "row needs 48; give more text",
    f"{RUN} data.source.path=latin.txt": "latin.txt; UTF-8; 0xe9 at offset 3; convert",
    f"{RUN} data.source.path=folder": "folder; .txt, .text, .md, .rst; glob",
    f"{RUN} 'data.source={{kind: jsonl, path: bad.jsonl}}'": "bad.jsonl, line 2; no JSON",
    f"{RUN} 'data.source={{kind: jsonl, path: other.jsonl}}'": "other.jsonl, line 1; 'text'; 'txt'",
    f"{RUN} 'data.source={{kind: jsonl, path: number.jsonl}}'": "number.jsonl, line 1; 'text'; 3",
    f"{RUN} 'data.source={{kind: csv, path: cells.csv, column: txt}}'": "cells.csv, line 1; 'txt'; mean 'text'?",
    f"{RUN} 'data.source={{kind: csv, path: semicolons.csv}}'": "semicolons.csv, line 1; 'text'; legal: title;text",
    f"{RUN} 'data.source={{kind: csv, path: cells.csv, delimiter: ab}}'": "data.source.delimiter; 'ab'; one character",
    f"{RUN} 'tokenizer={{kind: file, path: gone}}'": "no tokenizer; gone",
    f"{RUN} 'tokenizer={{kind: wordpiece, vocab_size: 20}}'": "tokenizer.vocab_size; 20; at least 57",
    f"{RUN} tokenizer.special_tokens=bert data.cache=text.txt tokenizer.kind=characters": "cannot write; data.cache",
    "pretrain tiny-encoder.yaml tokenizer.special_tokens=gpt": "special_tokens",
    f"{RUN} model.vocab_size=100": "model.vocab_size; 100; 257; null",
    # devices
    f"{RUN} trainer.accelerator=mps": "trainer.accelerator; 'mps'; cpu",
    f"{RUN} trainer.accelerator=cpu trainer.devices=2 trainer.num_nodes=2": "trainer.num_nodes; 2 machines; torchrun",
    # folders
    f"{RUN} --folder text.txt": "text.txt",
    f"{RUN} --folder text.txt/run": "text.txt",
    f"{RUN} --folder /proc/nothing": "/proc/nothing",
    "evaluate gone": "gone; folder",
    "extend gone trainer.max_steps=9": "gone is no run folder; config.yaml; zoo pretrain",
    "extend folder": "folder is no run folder; config.yaml",
    "branch gone --name other": "gone is no run folder; config.yaml",
    "branch gone": "--name; --help",
    "report gone": "gone is missing; name a run folder",
    "report folder --output page.html": "--output; one run only; leave it out",
    "tokenizer inspect gone": "gone",
    "tokenizer train tiny-decoder.yaml made": "tokenizer.kind; 'bytes'; learns nothing; another kind",
    "tokenizer train tiny-decoder.yaml made --held-out 2": "--held-out; 2.0; below 1",
    "evaluate folder": "folder holds no model; model.safetensors",
    "fill folder text": "folder holds no model",
    "generate gone text": "gone; folder",
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which mistakes are made."""
    folder = tmp_path_factory.mktemp("bench")
    text = folder / "text.txt"
    paragraphs = [" ".join(SENTENCES[(start * step) % 5] for step in range(1, 5)) for start in range(60)]
    text.write_text("\n\n".join(paragraphs), encoding="utf-8")
    for family in MODELS:
        (folder / f"tiny-{family}.yaml").write_text(tiny_config(family, text), encoding="utf-8")
    (folder / "folder").mkdir()
    aliases = [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in zip("abcde", "bcdef", strict=True)
    ]
    files = {
        "empty.txt": "\n \n",
        "short.txt": "abc",
        "bad.jsonl": '{"text": "a"}\n{"text": \n',
        "other.jsonl": '{"txt": "a"}\n',
        "cells.csv": "title,text\na,b\n",
        "semicolons.csv": "title;text\na;b\n",
        "number.jsonl": '{"text": 3}\n',
        "broken.yaml": "model: {preset: gpt-nano\ntrainer: 3\n",
        "list.yaml": "- a\n- b\n",
        "table.yaml": "key   value   from\n──────────────────\nname  tiny    default\n" + "seed  0  default\n" * 200,
        "twice.yaml": "name: a\nname: b\n",
        "tab.yaml": "model:\n\tpreset: gpt-nano\n",
        "bomb.yaml": "\n".join(["a: &a [x, x, x, x, x, x, x, x, x]", *aliases]),
        "old.yaml": tiny_config("encoder_decoder", text).replace(
            "preset: t5-nano", "preset: t5-nano, num_decoder_layers: 2"
        ),
    }
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    for name in ("latin.txt", "latin.yaml"):
        (folder / name).write_bytes("caf\xe9: au lait".encode("latin-1"))
    return folder


@pytest.fixture(autouse=True)
def _there(bench: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(bench)
    monkeypatch.setenv("ZOO_CACHE", str(bench / "cache"))
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in signals.items():
        signal.signal(number, handler)


LONGEST = 1_500
"""Characters of a message; the longest list all legal names."""


def check_told(outcome: Outcome, told: str) -> None:
    status, out, err = outcome
    assert status, f"nobody noticed; it printed {out}"
    sentence = sentence_of(outcome)
    assert "Traceback" not in err
    for words in told.split("; "):
        assert words in sentence, f"{words!r} is not in: {sentence}"


@pytest.mark.parametrize(("typed", "told"), [*CONFIGS.items(), *COMMANDS.items()])
def test_mistake_is_told(typed: str, told: str, command: Command) -> None:
    check_told(command(*shlex.split(typed)), told)


@pytest.fixture
def sets(bench: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data sets in the bench, where the libraries are installed that read them; the hub is out of reach."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="an extra: transformer-zoo[datasets]")
    datasets = pytest.importorskip("datasets", reason="an extra: transformer-zoo[datasets]")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)  # as HF_HUB_OFFLINE=1 does before it is imported
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(bench / "hub"))
    for name in ("set", "whole"):
        (bench / name).mkdir(exist_ok=True)
        parquet.write_table(
            pytest.importorskip("pyarrow").table({"id": [1], "text": ["a"]}), bench / name / "train.parquet"
        )
    (bench / "set" / "torn.parquet").write_bytes((bench / "set" / "train.parquet").read_bytes()[:-9])


@pytest.mark.usefixtures("sets")
@pytest.mark.parametrize(("source", "told"), SETS.items())
def test_mistake_with_a_data_set_is_told(source: str, told: str, command: Command) -> None:
    check_told(command("data", "prepare", "tiny-decoder.yaml", f"data.source={source}"), told)


@pytest.mark.parametrize(
    ("library", "source", "told"),
    [
        ("pyarrow", "{kind: parquet, path: text.txt}", "pyarrow, which is not installed; pip install; .[datasets]"),
        ("datasets", "{kind: huggingface, dataset: owner/name}", "datasets library; not installed; pip install"),
    ],
)
def test_an_extra_that_is_missing_is_told(
    library: str, source: str, told: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    check_told(command("data", "prepare", "tiny-decoder.yaml", f"data.source={source}"), told)


def test_there_are_enough_of_them() -> None:
    assert len(CONFIGS) + len(COMMANDS) + len(SETS) >= 140


def test_nothing_is_left_behind(bench: Path) -> None:
    """A mistake leaves nothing that counts as a run: the corrected command takes the folder that it may have made."""
    for folder in (bench / "runs").glob("*"):
        assert not (folder / "result.json").exists()
        assert not list((folder / "checkpoints").iterdir())
        RunFolder(folder, load_run("tiny-decoder.yaml", ["seed=77"]).config).close()


def test_each_key_that_is_nearly_right_is_named(command: Command) -> None:
    """One letter too many, in every key of a resolved config, names the key that was meant."""
    out = command("config", "tiny-encoder.yaml").out
    keys = re.findall(r"^([a-z_]+(?:\.[a-z_]+)+)\b", out, flags=re.MULTILINE)
    assert len(keys) > 50
    for key in keys:
        status, _, err = command("config", "tiny-encoder.yaml", f"{key}x=1")
        assert status == 2
        assert f"{key}x" in err
        assert f"did you mean {key.rpartition('.')[2]!r}" in err, err


def sentence_of(outcome: Outcome) -> str:
    assert outcome.status, outcome.out
    _, begin, sentence = f"\n{outcome.err.strip()}".rpartition("\nerror: ")
    assert begin, outcome.err
    assert all(line.startswith("  ") for line in sentence.splitlines()[1:]), outcome.err
    assert "unexpected" not in sentence
    assert len(sentence) < LONGEST
    return sentence


@pytest.fixture
def full_disk() -> Iterator[None]:
    """A limit on the size of files: writing on fails as on a disk that is full, with another number."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_names_the_folder(command: Command, full_disk: None, tmp_path: Path) -> None:
    sentence = sentence_of(command("pretrain", "tiny-decoder.yaml", "--folder", tmp_path / "run"))
    assert str(tmp_path / "run") in sentence
    assert os.strerror(errno.EFBIG) in sentence


def test_two_processes_in_one_run_folder(command: Command, tmp_path: Path) -> None:
    holder = RunFolder(tmp_path / "run", load_run("tiny-decoder.yaml").config)
    try:
        sentence = sentence_of(command("pretrain", "tiny-decoder.yaml", "--folder", tmp_path / "run"))
    finally:
        holder.close()
    assert str(tmp_path / "run") in sentence
    assert f"in use by process {os.getpid()}" in sentence


def test_a_run_of_other_settings_names_the_difference(command: Command, tmp_path: Path) -> None:
    RunFolder(tmp_path / "run", load_run("tiny-decoder.yaml").config).close()
    (tmp_path / "run" / "metrics.csv").write_text("step\n")
    (tmp_path / "run" / "checkpoints" / "step-1").mkdir(parents=True)
    sentence = sentence_of(
        command("pretrain", "tiny-decoder.yaml", "optimizer.learning_rate=0.5", "--folder", tmp_path / "run")
    )
    assert "optimizer.learning_rate" in sentence
    assert "0.5" in sentence
    assert "--fresh" in sentence


def test_a_source_that_changes_while_it_is_read(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, whole = tmp_path / "text.txt", TextConfig.documents
    text.write_text("\n\n".join(f"document number {number} of many" for number in range(400)))

    def documents(self: TextConfig) -> Iterator[str]:
        for number, document in enumerate(whole(self)):
            if number == 20:
                text.write_text(text.read_text() + " and one more")
            yield document

    monkeypatch.setattr(TextConfig, "documents", documents)
    sentence = sentence_of(
        command("pretrain", "tiny-decoder.yaml", f"data.source.path={text}", "--folder", tmp_path / "r")
    )
    assert "changed while" in sentence
