"""Models into folders: `zoo.save` as ours, `zoo.export` as others open them. A card goes along with both."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zoo.card import Facts, Opened, gather, page
from zoo.checkpoint.folder import write_folder
from zoo.checkpoint.model import PAGE_NAME, save_model
from zoo.errors import ConfigError, quoted
from zoo.interop.attempt import Attempt
from zoo.interop.export import SHARD_BYTES, find_architecture, write_transformers
from zoo.interop.folder import CONFIG_NAME
from zoo.interop.sentence_transformers import unwritten, write_sentence_transformers
from zoo.interop.usage import write_ids
from zoo.loading import load
from zoo.models.base import Model
from zoo.pretrained import Pretrained
from zoo.registry import unknown_name
from zoo.tokenizer.export import write_for_transformers
from zoo.tokenizer.special_tokens import FOREIGN_CONFIG
from zoo.tokenizer.tokenizer import Tokenizer

FORMATS = ("transformers",)
"""What a model can be exported as."""
EXPORT_FORMAT = "zoo-export"
"""What an exported folder is called in its manifest."""


def save(model: Pretrained | Model, folder: str | Path, tokenizer: Tokenizer | None = None) -> None:
    """Writes a model folder that `load` opens, with a README.md that says what is known of the model.

    Args:
        model: a model by itself, or with its tokenizer.
        folder: must not exist yet.
        tokenizer: of a model by itself; None: the folder gets none.

    Raises:
        CheckpointError: the folder exists or cannot be written.
        ConfigError: `model` is none, or has a tokenizer already.
    """
    held, target = _held(model, tokenizer), Path(folder).expanduser()
    facts = facts_of(held)
    text = page(target.name, held.model, held._tokenizer, facts, Opened("model = zoo.load(folder)"))
    usage = held.conventions.as_data()
    save_model(held.model, held._tokenizer, target, usage=usage, card=facts or None, page=text)


def export(
    model: Pretrained | Model | str | Path,
    folder: str | Path,
    format: str = "transformers",
    *,
    architecture: str | None = None,
    tokenizer: Tokenizer | None = None,
    which: str = "newest",
    weights: str = "raw",
    shard_bytes: int = SHARD_BYTES,
    told: Callable[[int, int], None] | None = None,
) -> str:
    """Writes a folder that `transformers.Auto….from_pretrained` opens: config, weights, tokenizer, a card.

        zoo.export("runs/gpt-small", "out/gpt-small", which="best")

    Args:
        model: a model by itself or with its tokenizer, or whatever `zoo.load` takes (a run, a step, a folder).
        folder: must not exist yet.
        format: "transformers".
        architecture: what it is written as (`zoo list --architectures`); None: what it was loaded from, where that
            still takes it, or of those that take it the one that was described first.
        tokenizer: of a model by itself.
        which, weights: of a run, as in `zoo.load`.
        shard_bytes: the most that one file of weights holds.
        told: hears how many bytes of how many are written.

    Returns:
        The class of transformers that opens the folder.

    Warns of what is put otherwise than in the model, though no output depends on it (`Attempt.differences`), and of a
    way to make vectors of texts that is not known here and so cannot be written. The card says the same.

    Raises:
        ConfigError: no architecture takes the model (with all that stands in the way of the nearest), or not the one
            that is asked for; `model` is none, or `shard_bytes` is no number of bytes.
        CheckpointError: the folder exists or cannot be written, or there is no model to export.
    """
    if format not in FORMATS:
        raise ConfigError(unknown_name("format", format, FORMATS), "format")
    if type(shard_bytes) is not int or shard_bytes < 1:
        raise ConfigError(f"{quoted(shard_bytes)} is no number of bytes; give a whole one, as 5 << 30", "shard_bytes")
    held = _opened(model, tokenizer, which, weights)
    written = find_architecture(held.config, architecture, held.architecture)
    target = Path(folder).expanduser()
    options: dict[str, Any] = {"shard_bytes": shard_bytes, "told": told}
    write_folder(target, lambda temporary: _fill(temporary, target.name, held, written, options), format=EXPORT_FORMAT)
    for difference in _differences(held, written):
        warnings.warn(f"{folder}: {difference}", stacklevel=2)
    return written.opened


def _fill(folder: Path, name: str, held: Pretrained, written: Attempt, options: dict[str, Any]) -> None:
    """Writes what transformers opens into an empty folder, and the card of that name."""
    carried = (held.conventions.carried or {}).get(CONFIG_NAME)
    roles = {} if held._tokenizer is None else held._tokenizer.roles
    ids = write_ids(held.conventions._asdict(), roles, held.config.kind == "encoder_decoder")
    write_transformers(held.model, ids, folder, written, carried=carried, **options)
    if held._tokenizer is not None:
        has_segments = held.config.embedding.num_segments > 1
        fields = _fields(held)
        write_for_transformers(held._tokenizer, folder, held.config.kind, fields, has_segments, written.architecture)
    write_sentence_transformers(held.conventions.as_data(), held.config.sides()[0].stack.dim, folder)
    how = Opened("model = zoo.load(folder)", written.opened)
    facts = {**facts_of(held), "architecture": written.architecture, "differences": _differences(held, written)}
    (folder / PAGE_NAME).write_text(page(name, held.model, held._tokenizer, facts, how), encoding="utf-8")


def _differences(held: Pretrained, written: Attempt) -> list[str]:
    """What the folder says otherwise than the model, or not at all."""
    pooling = unwritten(held.conventions.as_data())
    told = (
        f"how a text becomes one vector ({pooling}) is not known here and not written; take modules.json and what it "
    )
    return [*written.differences(), *([f"{told}names from where the model came"] if pooling else [])]


def facts_of(model: Pretrained) -> Facts:
    """What is known of a model: what its folder and its run say, and what it was loaded as."""
    known = {} if model.architecture is None else {"architecture": model.architecture}
    return {**gather(model.source), **known}


def _fields(model: Pretrained) -> dict[str, Any]:
    """What the tokenizer's config says of the model."""
    config, template = model.config, model.conventions.template
    fields: dict[str, Any] = {"model_max_length": config.max_length} if config.positions.has_end else {}
    fields |= (model.conventions.carried or {}).get(FOREIGN_CONFIG, {})
    return fields if template is None else {**fields, "chat_template": template.source}


def _opened(
    model: Pretrained | Model | str | Path, tokenizer: Tokenizer | None, which: str, weights: str
) -> Pretrained:
    """The model that is given, or lies in the folder that is."""
    if isinstance(model, str | Path):
        model = load(model, which=which, weights=weights)
    elif (which, weights) != ("newest", "raw"):
        raise ConfigError("which and weights choose a checkpoint of a run; give its folder to use them", "which")
    return _held(model, tokenizer)


def _held(model: Pretrained | Model, tokenizer: Tokenizer | None) -> Pretrained:
    if not isinstance(model, Pretrained | Model):
        raise ConfigError(f"{quoted(model)} is no model; give a Model, or what zoo.load(folder) returns", "model")
    if isinstance(model, Model):
        was_training = model.training
        held = Pretrained(model, tokenizer)
        model.train(was_training)
        return held
    if tokenizer is not None:
        raise ConfigError("the model has one with it; give its `.model` beside another", "tokenizer")
    return model
