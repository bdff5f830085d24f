"""A run that starts from the weights of another model, its tokenizer included: continued pretraining.

The other model is a run, a checkpoint or a model folder of ours, or a foreign folder of an architecture that
`zoo/interop` knows. Its backbone must be that of the run, tensor for tensor. Heads that it lacks are drawn as in any
run, heads that the run does not train are left out; both are told.

Where the run's tokenizer has new tokens (`tokenizer.add_tokens`), their rows of the token table and of the output layer
start as the mean of the rows of the tokens that there were (Hewitt 2021, "Initializing new word embeddings for
pretrained language models"); those stay as they are, bit for bit.

The weights are read once, before the first step; their hash is recorded with the run (`origin.py`). A run that goes on
reads its own checkpoint and its own tokenizer.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from zoo.checkpoint.manifest import hash_file
from zoo.checkpoint.model import WEIGHTS_NAME, read_config, read_weights, weights_of
from zoo.config import Config, Mapped, Source, flatten, load_config, to_mapping
from zoo.data.split import counted
from zoo.errors import CheckpointError, ConfigError, ZooError
from zoo.heads.language_model import LanguageModelHead
from zoo.interop.folder import is_foreign, read_foreign_config, read_foreign_weights, weight_files
from zoo.loading import model_folder
from zoo.models import Model, ModelConfig
from zoo.nn.init import InitializationConfig
from zoo.tokenizer.foreign import find_tokenizer, open_tokenizer
from zoo.tokenizer.tokenizer import LIBRARY_FILE_NAME, Tokenizer
from zoo.tokenizer.train import FileConfig
from zoo.training.config import RunConfig, tokenizer_folder
from zoo.training.origin import read_origin, record


class Start(NamedTuple):
    """What a run starts from.

    Attributes:
        folder: the model folder, ours or a foreign one. config: the model in it, as ours.
        tokenizer: None where the folder has none.
    """

    folder: Path
    config: ModelConfig
    tokenizer: Tokenizer | None

    @property
    def files(self) -> list[Path]:
        """Where its weights are."""
        return weight_files(self.folder) if is_foreign(self.folder) else [self.folder / WEIGHTS_NAME]

    def weights(self) -> dict[str, Tensor]:
        """Its weights by our names, verified."""
        if is_foreign(self.folder):
            return read_foreign_weights(self.folder)
        return read_weights(self.folder)


def find_start(path: str) -> Start:
    """What is in a folder to start from; raises ConfigError, under `init_from`, where that is nothing."""
    folder = Path(path).expanduser()
    try:
        folder = model_folder(folder)
        config = read_foreign_config(folder) if is_foreign(folder) else read_config(folder)
        return Start(folder, config, find_tokenizer(folder))
    except ZooError as error:
        raise ConfigError(
            f"{error}. It takes a run, a checkpoint or a model folder of ours, or a Hugging Face folder with "
            "config.json and safetensors. A run that has begun needs it no more: zoo pretrain runs/…/config.yaml",
            "init_from",
        ) from None


def start_source(said: Mapped) -> Source | None:
    """What `init_from` says of the model and the tokenizer, below what a config says itself.

    Args:
        said: all settings of the config together.

    Raises:
        ConfigError: it is no text, or names no model.
    """
    path = said.get("init_from")
    if path is None:
        return None
    if not isinstance(path, str):
        meant = path.get("path") if isinstance(path, dict) else None
        shown = meant if isinstance(meant, str) else "runs/…"
        raise ConfigError(f"{path!r} is not text; write the folder itself: init_from={shown}", "init_from")
    model, tokenizer = said.get("model", {}), said.get("tokenizer", {})
    if _chosen(model) and _chosen(tokenizer):
        if _kind(tokenizer) != FileConfig.kind:  # with one, the run may have begun, and needs the folder no more
            _refuse_other_tokenizer(path, _kind(tokenizer), model)
        return None
    start = find_start(path)
    if _chosen(tokenizer) and _kind(tokenizer) != FileConfig.kind:
        _refuse_other_tokenizer(path, _kind(tokenizer), {})
    settings: Mapped = {}
    if not _chosen(tokenizer) and start.tokenizer is not None:
        settings["tokenizer"] = {"kind": FileConfig.kind, "path": str(_tokenizer_of(path, start))}
    if not _chosen(model):
        _check_initialization(model, start)
        added = tokenizer.get("add_tokens") if isinstance(tokenizer, dict) else None
        tokens = 0 if start.tokenizer is None else start.tokenizer.vocab_size + len(added or ())
        settings["model"] = {**to_mapping(start.config), "vocab_size": max(tokens, start.config.vocab_size or 0)}
    return Source(f"init_from {path}", settings)


def _check_initialization(model: Mapped, start: Start) -> None:
    """Refuses to say how weights are drawn where none are: only heads that the start lacks would be.

    A scheme with a rule for the learning rates (muP) acts in any case.
    """
    said, heads = model.get("initialization"), model.get("heads")
    named = heads if isinstance(heads, dict) else {}
    if said is None or any(head is not None and name not in start.config.heads for name, head in named.items()):
        return
    kind = said.get("kind", start.config.initialization.kind) if isinstance(said, dict) else said
    if not getattr(InitializationConfig.choices.get(kind), "rates_for", ""):
        raise ConfigError(
            f"has no effect: every weight comes from {start.folder}, whose heads are {', '.join(start.config.heads)}, "
            "and only heads that are new would be drawn; leave it out",
            "model.initialization",
        )


def _chosen(group: Any) -> bool:
    """Whether a config says by itself which model or tokenizer it is."""
    return not isinstance(group, dict) or "kind" in group or "preset" in group


def _kind(group: Any) -> Any:
    """Of a tokenizer that a config says: its kind."""
    return group.get("kind") if isinstance(group, dict) else group


def _tokenizer_of(path: str, start: Start) -> Path:
    """Where the tokenizer of the weights is. A run's own stays where it is; its checkpoints come and go."""
    own = tokenizer_folder(path)
    return own if (own / LIBRARY_FILE_NAME).is_file() else start.folder


def _refuse_other_tokenizer(path: str, kind: Any, model: Mapped) -> NoReturn:
    """Raises ConfigError with the settings that make a config one of the weights; first where there are no weights."""
    start = find_start(path)
    wanted = [f"tokenizer='{{kind: file, path: {_tokenizer_of(path, start)}}}'"]
    if model:
        own = load_config(ModelOnly, [Source("", {"model": model})]).config.model
        wanted += settings_of(start.config, own)
    raise ConfigError(
        f"{kind} would be another tokenizer than that of the weights in init_from; add {' '.join(wanted)}; or leave "
        "model and tokenizer out of the config, which then has those of the weights",
        "tokenizer.kind",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOnly(Config):
    """Of a run's config, what `init_from` is compared with before the rest is read."""

    model: ModelConfig


def settings_of(wanted: ModelConfig, own: ModelConfig) -> list[str]:
    """The `key=value` that make the model of a config that of the weights; only what tensors can depend on."""
    theirs, ours = flatten(to_mapping(wanted)), flatten(to_mapping(own))
    return [
        f"model.{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in theirs.items()
        if key.partition(".")[0] not in FREE and (key not in ours or ours[key] != value)
    ]


def check_start(config: RunConfig) -> None:
    """Refuses a new run whose model or tokenizer is not that of the weights, before any text is read.

    Raises:
        ConfigError: with the settings that make it so.
    """
    if config.init_from is None:
        return
    start = find_start(config.init_from)
    _check_tokenizer(config, start)
    wanted = settings_of(start.config, config.model)
    if wanted and _shapes(config.model, start) != _shapes(start.config, start):
        raise ConfigError(
            f"the weights of {start.folder} do not fit this model; add {' '.join(wanted)}; or leave model out of the "
            "config, which then has that of the weights",
            "model",
        )


def _shapes(config: ModelConfig, start: Start) -> dict[str, torch.Size]:
    """Of the backbone of a model with the vocabulary of the start, by name."""
    with torch.device("meta"):
        model = dataclasses.replace(config, vocab_size=start.config.vocab_size, vocab_multiple=1).build_unset()
    return {name: shared.tensor.shape for shared in weights_of(model.backbone) for name in shared.names}


FREE = ("dropout", "heads", "initialization", "vocab_size", "vocab_multiple")
"""Settings of a model that may be others than those of the weights."""


def own_tokenizer(config: RunConfig, run: Path) -> RunConfig:
    """The config of a run that has begun: where it was given a tokenizer to start from, it has its own now."""
    if config.init_from is None:
        return config
    return dataclasses.replace(config, tokenizer=FileConfig(path=str(run / "tokenizer")))


def begin(config: RunConfig, model: Model, tokenizer: Tokenizer, run: Path, is_owner: bool) -> None:
    """Gives a new run's model the weights that it starts from, and records which they were.

    Args:
        config: the run. model: with its own weights drawn. tokenizer: of the run.
        run: its folder. is_owner: whether this process writes there.

    Raises:
        ConfigError, CheckpointError: they do not fit, or are not those that the run was begun with.
    """
    if config.init_from is None:
        return
    start = find_start(config.init_from)
    _check_tokenizer(config, start)
    entry = {"path": config.init_from, "sha256": {path.name: hash_file(path) for path in start.files}}
    if read_origin(run).get("init_from", entry)["sha256"] != entry["sha256"]:
        raise CheckpointError(
            f"the weights in {config.init_from} changed since {run} was begun; put them back, or start anew with "
            "--fresh"
        )
    told = take_over(model, tokenizer, start)
    if is_owner:
        record(run, init_from=entry)
        print(f"starts from the weights of {start.folder}{''.join(f'; {one}' for one in told)}", file=sys.stderr)


def _check_tokenizer(config: RunConfig, start: Start) -> None:
    assert isinstance(config.tokenizer, FileConfig), config.tokenizer
    if start.tokenizer is None:
        return
    if open_tokenizer(config.tokenizer.path).fingerprint != start.tokenizer.fingerprint:
        raise ConfigError(
            f"{config.tokenizer.path} has not the tokenizer of the weights, which is that of {start.folder}; say that, "
            "or leave the tokenizer out",
            "tokenizer.path",
        )


@torch.no_grad()
def take_over(model: Model, tokenizer: Tokenizer, start: Start) -> list[str]:
    """Fills a model with weights of another one.

    Args:
        model: with its own weights drawn. tokenizer: of the model: that of the start, or with tokens added to it.
        start: where the weights come from.

    Returns:
        What of the model did not come from there, and what was left there.

    Raises:
        CheckpointError: everything that does not fit; nothing was filled.
    """
    given, told = start.weights(), []
    tables = _vocabulary_tensors(model)
    size, known = start.config.vocab_size or 0, _known(start)
    filled: list[tuple[Tensor, Tensor]] = []
    faults: list[str] = []
    new_heads = {*model.config.heads} - {*start.config.heads}
    for shared in weights_of(model):
        name = next((name for name in shared.names if name in given), None)
        if name is None:
            if _head_of(shared.names[0]) not in new_heads:
                faults.append(f"{shared.names[0]} is missing there")
            continue
        tensor = given[name]
        if id(shared.tensor) in tables and tensor.shape[1:] == shared.tensor.shape[1:] and size <= len(shared.tensor):
            tensor = _with_rows(tensor[:size], len(shared.tensor), known, tokenizer.vocab_size)
        if tensor.shape != shared.tensor.shape:
            faults.append(f"{name} is {list(tensor.shape)} there and {list(shared.tensor.shape)} here")
        elif tensor.is_floating_point() and not tensor.isfinite().all():
            faults.append(f"{name} is not finite there")
        filled.append((shared.tensor, tensor))
    names = {name for shared in weights_of(model) for name in shared.names}
    gone = {*start.config.heads} - {*model.config.heads}
    faults += [f"{name} has no place here" for name in given if name not in names and _head_of(name) not in gone]
    if faults:
        more = f" and {len(faults) - 10} more" if len(faults) > 10 else ""
        raise CheckpointError(f"the weights of {start.folder} do not fit the model: {'; '.join(faults[:10])}{more}")
    for own, tensor in filled:
        own.copy_(tensor)
    how = model.config.initialization.kind
    told += [f"the head {name} is drawn anew, by model.initialization ({how})" for name in sorted(new_heads)]
    told += [f"the head {name} is left out" for name in sorted(gone)]
    if tokenizer.vocab_size > known:
        told.append(f"{counted(tokenizer.vocab_size - known, 'new token')} start as the mean of all others")
    return told


def _known(start: Start) -> int:
    """How many rows of the vocabulary stand for tokens."""
    return start.tokenizer.vocab_size if start.tokenizer is not None else start.config.vocab_size or 0


def _vocabulary_tensors(model: Model) -> set[int]:
    """The tensors with a row for each token, by identity."""
    found: list[Tensor | None] = [model.backbone.tokens.weight]
    for head in model.heads.values():
        if isinstance(head, LanguageModelHead):
            found += [head.weight, head.bias]
    return {id(tensor) for tensor in found if tensor is not None}


def _with_rows(rows: Tensor, count: int, known: int, wanted: int) -> Tensor:
    """A table of `count` rows: those there are, then the mean of the `known` ones for tokens up to `wanted`, then 0."""
    table = rows.new_zeros((count, *rows.shape[1:]))
    table[: len(rows)] = rows
    if wanted > known:
        table[known:wanted] = rows[:known].double().mean(0).to(rows.dtype)
    return table


def _head_of(name: str) -> str:
    """The head that a tensor belongs to; "" where it is the backbone's."""
    part, _, rest = name.partition(".")
    return rest.partition(".")[0] if part == "heads" else ""
