"""Models out of folders: `zoo.load(folder)`. How they get into folders is in saving.py."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

import torch

from zoo.checkpoint.disk import nearest_folder, read_json
from zoo.checkpoint.dtypes import type_name
from zoo.checkpoint.folder import newest_verified, verify_folder
from zoo.checkpoint.model import (
    CONFIG_NAME,
    PARTS,
    TRAINING_FORMAT,
    USAGE_NAME,
    WEIGHTS_NAME,
    listed,
    load_model,
    read_card,
)
from zoo.checkpoint.standing import read_standing
from zoo.errors import CheckpointError, ConfigError, DataError, ZooError, quoted
from zoo.generation.conventions import Conventions
from zoo.hub import PREFIX, PUBLISHED, fetch, is_hub_name, on_the_hub
from zoo.interop.folder import config_in, is_foreign, open_foreign, other_weights, pickle_file, read_foreign_config
from zoo.interop.refused import weights_at_fault
from zoo.interop.suggestions import told
from zoo.interop.usage import read_usage
from zoo.models.presets import PRESETS
from zoo.pretrained import Pretrained, check_vocabulary
from zoo.registry import unknown_name
from zoo.spelling import named
from zoo.tokenizer.foreign import find_tokenizer, tokenizer_files
from zoo.tokenizer.tokenizer import LIBRARY_FILE_NAME, Tokenizer

MAX_USAGE_BYTES = 16 << 20
WHICH = ("newest", "best")
"""Which checkpoint of a run is loaded."""
TENSORS = {"trainer.safetensors", *(f"{part}/{WEIGHTS_NAME}" for part in PARTS.values())}
"""The large files of a training step. Of these a model is one; the others are not read for it."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""The dtypes that a model can be run in, by name."""


def load(
    folder: str | os.PathLike[str],
    *,
    which: str = "newest",
    device: str | torch.device | int | None = "cpu",
    dtype: str | torch.dtype | None = None,
    weights: str = "raw",
    revision: str | None = None,
) -> Pretrained:
    """The model in a folder, with its tokenizer, ready to use. Nothing is executed; hub: alone is fetched.

    Args:
        folder: a model folder (`zoo.save` wrote it), a training step (`…/checkpoints/step-N`), a run (`runs/…`): its
            newest checkpoint whose model is whole, with a warning for each newer one; a Hugging Face folder of
            an architecture that opens here (`zoo list --architectures`): config.json, safetensors, the tokenizer's
            files; or "hub:owner/name", a model of the Hugging Face hub, which is fetched where it is not in the hub's
            cache yet. What is in a folder of ours is compared with the SHA-256 in its manifest; theirs has none, and is
            read when it is first used (`zoo import` makes a checked copy). Weights on the CPU are the files themselves,
            mapped into memory: they must stay as they are while the model lives, or may go as a whole.
        which: of a run, "newest", or "best": the checkpoint with the best validation by `best.metric` of its config,
            which was kept if `best.keep` says so.
        device: "cpu" or "cuda" ("cuda:1", …), or as torch says it: torch.device("cuda"), 1; None: "cpu".
        dtype: "float32" or "bfloat16", or torch's of these names; None: as stored, or, with a warning, one type where
            several are stored.
        weights: of a run or a training step: "raw", those that were trained, or "ema", their moving average (a run
            with trainer.ema keeps one).
        revision: of a model of the hub: a branch, a tag or a commit; None: the main branch.

    Raises:
        CheckpointError: the folder is missing, is none of these, or is damaged.
        ConfigError: an unknown dtype, an unknown `which`, a device that is not there, or a Hugging Face folder with an
            architecture or a setting that does not open here.
        DataError: the files of the tokenizer are damaged.
    """
    name = type_name(dtype) if isinstance(dtype, torch.dtype) else None if dtype is None else str(dtype)
    if name is not None and name not in DTYPES:
        raise ConfigError(unknown_name("dtype", name, DTYPES), "dtype")
    if not isinstance(folder, str | os.PathLike):
        raise ConfigError(f"{quoted(folder)} is not the path of a folder", "folder")
    device = legal_device(device)
    wanted = None if name is None else DTYPES[name]
    if is_hub_name(folder):
        folder = fetch(str(folder), revision)
    elif revision is not None:
        raise ConfigError(f"{revision!r} names nothing of a folder; it belongs to hub:owner/name", "revision")
    named = Path(folder).expanduser()
    place = model_folder(named, weights, which, contents=False)
    if is_foreign(place):
        return _load_foreign(place, device, wanted)
    try:
        model, tokenizer = load_model(place, device, dtype=wanted)
    except CheckpointError:
        whole = model_folder(named, weights, which)  # of a run, an older one where this is damaged
        if whole == place:
            raise
        place, (model, tokenizer) = whole, load_model(whole, device, dtype=wanted)
    pretrained = Pretrained(model, tokenizer, conventions_in(place))
    pretrained.architecture, pretrained.source = read_card(place).get("architecture"), place
    return pretrained


def _load_foreign(folder: Path, device: str, dtype: torch.dtype | None) -> Pretrained:
    try:
        config = read_foreign_config(folder)
    except ConfigError as error:
        raise _refused(folder, error) from None
    tokenizer, faults = find_tokenizer(folder), []
    try:
        check_vocabulary(tokenizer, config.vocab_size or 0)
    except ZooError as error:
        assert tokenizer is not None
        faults.append(f"{folder}: {error}; {_ways_out(tokenizer, config.vocab_size or 0, folder)}")
    try:
        opened = open_foreign(folder)  # of the weights, the headers
    except CheckpointError as error:
        faults.append(str(error))
    if faults:
        raise CheckpointError("; ".join(faults))
    pretrained = Pretrained(opened.load(device, dtype), tokenizer, conventions_in(folder))
    pretrained.architecture, pretrained.source = opened.architecture, folder
    warn_of_settings(pretrained, folder)
    warn_of_ids(pretrained, folder)
    return pretrained


def _refused(folder: Path, refusal: ConfigError) -> ConfigError:
    """The refusal of a config, with what can be told of the tokenizer and the weights beside it."""
    try:
        size = config_in(folder)[1].get("vocab_size")
    except ConfigError:  # not even what the model is
        return refusal
    faults = []
    try:
        tokenizer = find_tokenizer(folder)
        if type(size) is int and size > 0:
            check_vocabulary(tokenizer, size)
    except ZooError as error:
        faults.append(str(error) if isinstance(error, DataError) else f"{folder}: {error}")
    if fault := weights_at_fault(folder):
        faults.append(fault)
    return ConfigError("\n".join([str(refusal), *faults])) if faults else refusal


MOST_TAKEN_OUT = 5
"""Of tokens without a row, how many may be a few that no text needs (BART-large-CNN has one, `<mask>`)."""


def _ways_out(tokenizer: Tokenizer, vocab_size: int, folder: Path) -> str:
    """How a folder opens whose tokenizer has more ids than its model has rows."""
    found, beside = tokenizer_files(folder)
    away = f"take {', '.join(found)} away: the model then opens without a tokenizer, and takes and gives tensors"
    tokens = [tokenizer.token(id) for id in range(vocab_size, tokenizer.vocab_size)]
    spelt = [*tokens, *(json.dumps(token)[1:-1] for token in tokens)]
    texts = [name for name in (found[0], *beside) if name.endswith((".json", ".txt"))]
    holders = [name for name in texts if any(token in _read(folder / name) for token in spelt)]
    if len(tokens) > MOST_TAKEN_OUT or not holders:
        return f"in a copy of the folder, {away}"
    within = " (there out of added_tokens and of the vocab of model)" if LIBRARY_FILE_NAME in found[0] else ""
    return (
        f"in a copy of the folder, take {', '.join(map(repr, tokens))} out of {', '.join(holders)}{within} where no "
        f"text needs it, or {away}"
    )


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def warn_of_ids(model: Pretrained, folder: Path) -> None:
    """Warns where a foreign folder ends texts with an id that its model never writes."""
    size = model.config.vocab_size or 0
    if beyond := [id for id in model.conventions.stop if id >= size]:
        warnings.warn(
            f"{folder}: eos_token_id is {', '.join(map(str, beyond))}, but the model has only the {size:,} ids below "
            f"{size}, so this never ends a text; mend generation_config.json or config.json",
            stacklevel=4,
        )


def warn_of_settings(model: Pretrained, folder: Path) -> None:
    """Warns where a foreign folder's settings of generation ask for what nothing here does."""
    asked = [one.written for one in told(model.conventions.suggestions) if not one.ours]
    if asked and "language_model" in model.config.heads:
        warnings.warn(
            f"{folder}: its settings of generation ask for {', '.join(asked)}, which nothing here does: transformers "
            "may write other texts by them (they are kept, and zoo.export writes them again)",
            stacklevel=4,
        )


def conventions_in(folder: Path) -> Conventions:
    """How a model folder, ours or a foreign one, says that its model is used.

    Raises:
        CheckpointError, DataError: a file that says it is damaged.
    """
    own = folder / USAGE_NAME
    usage = read_json(own, MAX_USAGE_BYTES) if own.is_file() else read_usage(folder)
    if not isinstance(usage, dict):
        raise CheckpointError(f"{own} is damaged: it must hold a JSON object")
    return Conventions.of(usage, str(own if own.is_file() else folder))


def model_folder(folder: Path, weights: str = "raw", which: str = "newest", contents: bool = True) -> Path:
    """The model folder that `folder` is or holds; raises CheckpointError where there is none. See `load`.

    Of a run, it is one whose files are all there and whose model is whole. With `contents` False, its weights are left
    to be verified by whoever reads them.
    """
    if weights not in PARTS:
        raise ConfigError(unknown_name("weights", weights, PARTS), "weights")
    if which not in WHICH:
        raise ConfigError(unknown_name("checkpoint", which, WHICH), "which")
    if not folder.is_dir():
        what = (
            "a file"
            if folder.exists()
            else f"missing{_is_a_size(folder) or nearest_folder(folder) or on_the_hub(folder)}"
        )
        raise CheckpointError(
            f"{folder} is {what}; name a run folder (runs/…), a checkpoint in it, a model folder or a Hugging Face "
            f"folder{pickle_file(folder)}"
        )
    if is_foreign(folder):
        if which != "newest" or weights != "raw":
            given = [
                named(name, said)
                for name, said, own in (("which", which, "newest"), ("weights", weights, "raw"))
                if said != own
            ]
            raise CheckpointError(
                f"{folder} is a Hugging Face folder, with one set of weights; leave out {' and '.join(given)}"
            )
        return folder
    if (folder / "checkpoints").is_dir():
        later = TENSORS.difference([f"{PARTS[weights]}/{WEIGHTS_NAME}"] if contents else [])
        newest, complaints = newest_verified(folder / "checkpoints", format=TRAINING_FORMAT, later=later)
        if newest is None:
            reason = "; ".join(complaints) or "no checkpoint has been saved yet"
            raise CheckpointError(f"the run {folder} has nothing to load: {reason}")
        for complaint in complaints:
            warnings.warn(complaint, stacklevel=3)
        return _part(newest if which == "newest" else _best(newest, later), weights)
    if which != "newest":
        raise CheckpointError(f"{folder} is no run (it has no checkpoints/), so there is no {which} checkpoint in it")
    if (folder / PARTS["raw"]).is_dir():
        return _part(folder, weights)
    if (folder / "model.safetensors").exists() and (folder / CONFIG_NAME).exists():
        if weights != "raw":
            raise CheckpointError(f"{folder} is a model folder, with one set of weights; give its run, or take 'raw'")
        return folder
    raise CheckpointError(
        f"{folder} holds no model: a model folder has model.safetensors and config.yaml, or config.json where Hugging "
        f"Face's libraries wrote it; a training step has model/, a run has checkpoints/{_what_is_inside(folder)}"
        f"{other_weights(folder)}"
    )


def _what_is_inside(folder: Path) -> str:
    """The end of an error about a folder that is no model: what could be meant instead, or "" where nothing could."""
    inside = sorted(folder.iterdir())
    models = [path.name for path in inside if os.access(path, os.R_OK | os.X_OK) and path.is_dir() and _is_model(path)]
    if models or not inside:
        return f"; it has models in it: {listed(models)}" if models else " (it is empty)"
    files = [path.name for path in inside if path.suffix in (".safetensors", ".gguf", ".pt", ".pth", ".bin", ".ckpt")]
    return f" (found: {listed(files)})" if files else ""


def _is_model(folder: Path) -> bool:
    return is_foreign(folder) or (folder / "checkpoints").is_dir() or (folder / WEIGHTS_NAME).is_file()


def _is_a_size(folder: Path) -> str:
    """The end of an error about a folder that is missing: what to take where it is the name of a size, or ""."""
    name = str(folder)
    if name not in PRESETS:
        return ""
    published = f", or take the published weights, {PREFIX}{PUBLISHED[name]}" if name in PUBLISHED else ""
    return f"; {name} is a size of `zoo list`, which is no weights: train one with `zoo pretrain`{published}"


def _part(step: Path, weights: str) -> Path:
    """The model folder of a training step that holds these weights."""
    part = step / PARTS[weights]
    if not part.is_dir():
        raise CheckpointError(
            f"{step} has no {weights!r} weights: its run has no trainer.ema, or was not at its start yet; use 'raw'"
        )
    return part


def _best(newest: Path, later: set[str]) -> Path:
    """The best checkpoint of a run, by what its newest says; CheckpointError where none was kept, or it is damaged."""
    standing = read_standing(newest)
    if not standing.best:
        raise CheckpointError(
            f"the run {newest.parents[1]} has kept no best checkpoint; train with best.keep=1 for it to stay, or load "
            f"the newest ({named('which', 'newest')})"
        )
    best = newest.with_name(f"step-{standing.best[0][0]}")
    verify_folder(best, format=TRAINING_FORMAT, later=later)
    return best


def legal_device(device: str | torch.device | int | None) -> str:
    """A device by its name, as text, as torch has it, or by a CUDA device's number; None: the CPU.

    Raises:
        ConfigError: it is none that torch can use here.
    """
    is_number = isinstance(device, int) and not isinstance(device, bool)
    name = "cpu" if device is None else f"cuda:{device}" if is_number else str(device)
    kind, _, index = name.partition(":")
    is_one = is_number or device is None or isinstance(device, str | torch.device)
    if not is_one or kind not in ("cpu", "cuda") or (index and not index.isdecimal()):
        raise ConfigError(
            f"{quoted(device)} is no device (legal: cpu, cuda, cuda:1, …, a torch.device, the number of a CUDA device)",
            "device",
        )
    count = torch.cuda.device_count()
    if kind == "cuda" and int(index or 0) >= count:
        there = ", ".join(["cpu", *(f"cuda:{number}" for number in range(count))])
        raise ConfigError(f"{name!r} is not there: torch sees {count} CUDA devices (there is: {there})", "device")
    return name
