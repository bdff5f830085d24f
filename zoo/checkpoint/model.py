"""A model as a folder that opens by itself: weights, the config they belong to, the tokenizer, a card.

    model.safetensors      the weights; what is shared is stored once, under its first name
    config.yaml            the resolved ModelConfig
    tokenizer.json, special_tokens.json, card.json, README.md         where given
    target_tokenizer.json  where what the decoder writes is cut otherwise (Marian)
    usage.json             how it is meant to be used, where that is said (`zoo.generation.conventions`)
    imports.json           name, SHA-256 and entries of the own blocks that were imported, where there were any
    manifest.json          sizes and SHA-256 of the above

Opening it reads data: no code runs, nothing outside the folder is touched, the network stays closed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.checkpoint import folder as folders
from zoo.checkpoint.disk import ensure_space, read_json, read_json_object
from zoo.checkpoint.dtypes import one_type
from zoo.checkpoint.tensors import DTYPES, open_tensors, save_tensors, usable_device
from zoo.checkpoint.verified import Hashing, damage_first, hashing, load_verified
from zoo.config import build
from zoo.config_text import read_yaml, to_yaml
from zoo.errors import CheckpointError, ConfigError
from zoo.models import Model, ModelConfig
from zoo.own_blocks import executed, made_with, replaced
from zoo.spelling import spelled
from zoo.tokenizer.tokenizer import TARGETS_FILE_NAME, Tokenizer

FORMAT = "zoo-model"
TRAINING_FORMAT = "zoo-training-checkpoint"
"""What a step of a run is called in its manifest: a folder with model folders and the trainer's state."""
PARTS = {"raw": "model", "ema": "model-ema"}
"""Model folders of a step, by the weights they hold: those that training goes on from, and their moving average."""
WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.yaml"
CARD_NAME = "card.json"
PAGE_NAME = "README.md"
USAGE_NAME = "usage.json"
IMPORTS_NAME = "imports.json"
TOKENIZER_NAME = "tokenizer.json"
MAX_CONFIG_BYTES = 16 << 10  # deeper nesting than fits in here overflows the stack of the YAML library
MAX_CARD_BYTES = 1 << 20
MAX_TOKENIZER_BYTES = 128 << 20
MAX_LISTED = 20
"""How many differences of one sort an error spells out."""


# --------------------------------------------------------------------------------------------------------------- saving


def save_model(
    model: Model,
    tokenizer: Tokenizer | None,
    folder: str | Path,
    *,
    card: Mapping[str, Any] | None = None,
    usage: Mapping[str, Any] | None = None,
    page: str | None = None,
    replace: bool = False,
) -> None:
    """Writes a model folder, whole or not at all.

    Args:
        model: its weights keep their types; its config goes along.
        tokenizer: goes along where given; its ids must fit the model's table.
        folder: where to; it must not exist yet unless `replace`.
        card: plain data about the model (what it was trained on, its loss); numbers that are not finite become text.
        usage: plain data about how it is meant to be used; None or empty: nothing is written.
        page: text of a README.md.
        replace: whether to take the place of what is there.

    Raises:
        CheckpointError: `folder` exists, there is too little space, a write fails, the tokenizer has more ids than the
            model, or the card holds more than plain data.
    """
    folder = Path(folder)
    _check_vocabulary(model.config, tokenizer, str(folder))
    card_text = None if card is None else json.dumps(_plain_data(card, "card"), indent=1, ensure_ascii=False) + "\n"
    usage_text = json.dumps(_plain_data(usage, "usage"), indent=1, ensure_ascii=False) + "\n" if usage else None
    weights = {shared.names[0]: shared.tensor for shared in weights_of(model)}

    def write(temporary: Path) -> None:
        ensure_space(temporary, sum(weight.nbytes for weight in weights.values()))
        save_tensors(weights, temporary / WEIGHTS_NAME)
        folders.fault("weights written")
        (temporary / CONFIG_NAME).write_text(to_yaml(model.config), encoding="utf-8")
        if tokenizer is not None:
            tokenizer.write(temporary)
        if executed():
            imports = json.dumps([blocks.record for blocks in executed()], indent=1) + "\n"
            (temporary / IMPORTS_NAME).write_text(imports, encoding="utf-8")
        if card_text is not None:
            (temporary / CARD_NAME).write_text(card_text, encoding="utf-8")
        if page is not None:
            (temporary / PAGE_NAME).write_text(page, encoding="utf-8")
        if usage_text is not None:
            (temporary / USAGE_NAME).write_text(usage_text, encoding="utf-8")

    folders.write_folder(folder, write, format=FORMAT, replace=replace)


def _plain_data(value: Any, path: str) -> Any:
    """Checks that a card is plain data; floats that JSON has no word for become text."""
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping) and all(type(key) is str for key in value):
        return {key: _plain_data(child, f"{path}.{key}") for key, child in value.items()}
    if type(value) in (list, tuple):
        return [_plain_data(child, f"{path}.{index}") for index, child in enumerate(value)]
    raise CheckpointError(f"{path}: {value!r} is no plain data (None, bool, int, float, text, lists and named groups)")


def _check_vocabulary(config: ModelConfig, tokenizer: Tokenizer | None, folder: str) -> None:
    if tokenizer is not None and config.vocab_size is not None and tokenizer.vocab_size > config.vocab_size:
        raise CheckpointError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} ids, the model's table {config.vocab_size} rows; "
            "the model was made for another tokenizer"
        )


# --------------------------------------------------------------------------------------------------------------- shared


class SharedWeight(NamedTuple):
    """One tensor of a module and all the places it stands at.

    Attributes:
        names: dotted names, in the module's order; the first is the one it is stored under.
        places: (module, attribute) for each name.
        tensor: the parameter or persistent buffer.
    """

    names: list[str]
    places: list[tuple[nn.Module, str]]
    tensor: Tensor


def weights_of(module: nn.Module) -> list[SharedWeight]:
    """The parameters and persistent buffers of a module, each once, in its order."""
    found: dict[int, SharedWeight] = {}
    for prefix, owner in module.named_modules(remove_duplicate=False):
        for attribute, tensor in _own_weights(owner):
            name = f"{prefix}.{attribute}" if prefix else attribute
            shared = found.setdefault(id(tensor), SharedWeight([], [], tensor))
            shared.names.append(name)
            shared.places.append((owner, attribute))
    return list(found.values())


def _own_weights(owner: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in owner._parameters.items():
        if parameter is not None:
            yield name, parameter
    for name, buffer in owner._buffers.items():
        if buffer is not None and name not in owner._non_persistent_buffers_set:
            yield name, buffer


# -------------------------------------------------------------------------------------------------------------- loading


def load_model(
    folder: str | Path,
    device: str | torch.device = "cpu",
    *,
    dtype: torch.dtype | None = None,
    allow_nonfinite: bool = False,
) -> tuple[Model, Tokenizer | None]:
    """The model of a folder that `save_model` wrote, in evaluation mode, and its tokenizer where it has one.

    Weights are in memory once: the model is built without data, then filled.

    Args:
        folder: a model folder.
        device: where the weights go.
        dtype: what weights of floating point are turned into, piece by piece; None: they keep the types they were saved
            with, unless those are several (`one_type`).
        allow_nonfinite: whether to take weights that are NaN or infinite.

    Raises:
        CheckpointError: the folder is damaged or foreign, its config does not build, its weights do not fit the config
            (all differences in one message) or are not finite.
        DataError: the tokenizer's files cannot be read.
        ConfigError: this machine does not have the device.
    """
    folder, device = Path(folder), usable_device(device)
    files = _verify_all_but_weights(folder)
    path, sha256 = folder / WEIGHTS_NAME, files[WEIGHTS_NAME].sha256
    with hashing(path, stays=dtype is None and device.type == "cpu") as hashed:
        config = read_config(folder)
        tokenizer = _read_tokenizer(folder, files)
        _check_vocabulary(config, tokenizer, str(folder))
        with damage_first(path, sha256):
            model = _build_empty(config, folder)
            _fill(model, path, sha256, allow_nonfinite, device=device, dtype=dtype, hashed=hashed)
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    return model.eval(), tokenizer


def load_weights(model: nn.Module, folder: str | Path, *, allow_nonfinite: bool = False) -> None:
    """Fills a model that exists already, in place, on its device, from a model folder.

    Names, shapes and types must be exactly those of the file; where anything differs, nothing is loaded.

    Raises:
        CheckpointError: the folder is damaged, the weights do not fit the model or are not finite.
    """
    folder = Path(folder)
    path, sha256 = folder / WEIGHTS_NAME, _verify_all_but_weights(folder)[WEIGHTS_NAME].sha256
    with damage_first(path, sha256):
        _fill(model, path, sha256, allow_nonfinite)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The weights in a model folder, by name, on the CPU. Raises CheckpointError where the folder is damaged."""
    return load_verified(folder / WEIGHTS_NAME, _verify_all_but_weights(folder)[WEIGHTS_NAME].sha256).tensors


def _verify_all_but_weights(folder: Path) -> dict[str, folders.FileRecord]:
    """The files of a model folder; the content of its weights is left to be compared when they are read."""
    files = folders.verify_folder(folder, format=FORMAT, later=(WEIGHTS_NAME,)).files
    missing = [name for name in (WEIGHTS_NAME, CONFIG_NAME) if name not in files]
    if missing:
        raise CheckpointError(f"{folder} is no model folder: it has no {' and no '.join(missing)}")
    return files


@spelled({})  # settings of a file
def read_config(folder: str | Path) -> ModelConfig:
    """The config of a model folder.

    Raises:
        CheckpointError: it is missing, does not hold, or its own blocks are now those of another file.
    """
    path = Path(folder) / CONFIG_NAME
    try:
        if path.is_file() and path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"is longer than {MAX_CONFIG_BYTES:,} bytes")
        config = build(ModelConfig, read_yaml(path).settings)
    except ConfigError as error:
        hint = made_with(read_imports(folder))
        raise CheckpointError(f"{path} is no config of a model that this zoo knows: {error}{hint}") from None
    assert isinstance(config, ModelConfig)
    if told := replaced(read_imports(folder)):
        raise CheckpointError(f"{folder} {told}")
    return config


def read_imports(folder: str | Path) -> list[dict[str, str]]:
    """What a model was made with: "file", "sha256" and "registered" of each; [] where nothing was imported."""
    path = Path(folder) / IMPORTS_NAME
    records = read_json(path, MAX_CARD_BYTES) if path.exists() else []
    if not isinstance(records, list) or not all(
        isinstance(one, dict)
        and all(isinstance(one.get(name), str) for name in ("file", "sha256"))
        and isinstance(one.get("registered", ""), str)
        for one in records
    ):
        raise CheckpointError(f"{path} is damaged: it lists names and hashes of files")
    return records


def read_card(folder: str | Path) -> dict[str, Any]:
    """The card of a model folder, {} where it has none. Raises CheckpointError where it is damaged."""
    return read_json_object(Path(folder) / CARD_NAME, MAX_CARD_BYTES)


def _read_tokenizer(folder: Path, files: Mapping[str, folders.FileRecord]) -> Tokenizer | None:
    if TOKENIZER_NAME not in files:
        return None
    for name in {TOKENIZER_NAME, TARGETS_FILE_NAME} & files.keys():
        if (size := files[name].size) > MAX_TOKENIZER_BYTES:
            raise CheckpointError(f"{folder / name} has {size:,} bytes, at most {MAX_TOKENIZER_BYTES:,} are read")
    return Tokenizer.load(folder)


def _build_empty(config: ModelConfig, folder: Path) -> Model:
    """The model on the meta device: shapes and no data."""
    with open_tensors(folder / WEIGHTS_NAME) as file:
        num_tensors = len(file.keys())
    num_bytes = (folder / WEIGHTS_NAME).stat().st_size
    # Each block and each head has weights. A config that asks for more of them than the file can hold would keep Python
    # busy for hours before a shape is compared.
    for side in config.sides():
        stack, under = side.stack, f"{side.key}." if side.key else ""
        num_blocks = len({*stack.sharing.order(stack.num_layers)})
        asked = {"num_layers": (stack.num_layers, num_blocks, num_tensors)}
        for key, heads in (("num_heads", stack.num_heads), ("num_kv_heads", stack.num_kv_heads or 0)):
            asked[key] = (heads, heads, num_bytes)
        for key, (value, needed, limit) in asked.items():
            if needed > limit:
                raise CheckpointError(
                    f"{folder / CONFIG_NAME}: {under}{key} is {value}, far more than {WEIGHTS_NAME} holds"
                )
    try:
        with torch.device("meta"):
            return config.build_unset()
    except (ConfigError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{folder / CONFIG_NAME} describes no model that can be built: {error}") from None


def _fill(
    model: nn.Module,
    path: Path,
    sha256: str,
    allow_nonfinite: bool,
    *,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
    hashed: Hashing | None = None,
) -> None:
    """Loads a safetensors file of a known SHA-256 into a module: all of it or nothing.

    A weight without data (meta device) is replaced by the file's tensor, on `device`, in the file's type or, of
    floating point, in `dtype`, and so in one type; a weight with data is copied into where it is, and must have the
    file's type. Tied weights stay tied. With `hashed`, the file is being hashed already.

    Raises:
        CheckpointError: names, shapes or types differ (all of them in one message), a weight is not finite, or the file
            has another content.
    """
    weights = weights_of(model)
    with open_tensors(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (a file is no mapping)
        _compare(weights, {name: (tuple(s.get_shape()), s.get_dtype()) for name, s in slices.items()}, path)
    if dtype is None:  # buffers (a balancing bias) may have another type
        empty = (one.names[0] for one in weights if one.tensor.is_meta and isinstance(one.tensor, nn.Parameter))
        types = {name: DTYPES.get(slices[name].get_dtype(), torch.uint8) for name in empty}
        dtype = one_type(types, None, path.parent)
    tensors, not_finite = load_verified(path, sha256, device=device, dtype=dtype, hashed=hashed)
    if not_finite and not allow_nonfinite:
        raise CheckpointError(
            f"{path} holds NaN or infinite numbers in {listed(not_finite)}; use an earlier checkpoint"
        )
    for shared in weights:
        put(shared, tensors[shared.names[0]])


def _compare(weights: list[SharedWeight], stored: dict[str, tuple[tuple[int, ...], str]], path: Path) -> None:
    """Raises one CheckpointError that lists everything in which the file differs from the module."""
    expected = {shared.names[0]: shared.tensor for shared in weights}
    faults = {
        "missing": [name for name in expected if name not in stored],
        "unexpected": [name for name in stored if name not in expected],
        "of another shape": [],
        "of another type": [],
    }
    for name, tensor in expected.items():
        if name not in stored:
            continue
        shape, code = stored[name]
        dtype = DTYPES.get(code)
        if shape != tuple(tensor.shape):
            faults["of another shape"].append(f"{name} (file {list(shape)}, model {list(tensor.shape)})")
        if dtype is None or not _types_agree(tensor, dtype):
            wanted = "a floating type" if tensor.is_meta and tensor.is_floating_point() else str(tensor.dtype)
            faults["of another type"].append(f"{name} (file {code}, model {wanted})")
    found = [f"{len(names)} {what}: {listed(names)}" for what, names in faults.items() if names]
    if found:
        raise CheckpointError(f"{path} does not fit the model; nothing was loaded. {'. '.join(found)}")


def _types_agree(tensor: Tensor, dtype: torch.dtype) -> bool:
    if tensor.is_meta and tensor.is_floating_point():
        return dtype.is_floating_point
    return tensor.dtype == dtype


def listed(names: list[str]) -> str:
    """Names for an error, the first of very many."""
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more


@torch.no_grad()
def put(shared: SharedWeight, tensor: Tensor) -> None:
    """Gives a weight its numbers, at all its places: a copy where it has data, the tensor itself where it has none."""
    if not shared.tensor.is_meta:
        shared.tensor.copy_(tensor)
        return
    is_parameter = isinstance(shared.tensor, nn.Parameter)
    filled = nn.Parameter(tensor, requires_grad=shared.tensor.requires_grad) if is_parameter else tensor
    for module, attribute in shared.places:
        setattr(module, attribute, filled)
