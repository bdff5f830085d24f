"""A foreign model folder as Hugging Face's libraries write it: config.json and safetensors, whole or in shards.

Reading it reads data: no code of the folder runs, nothing outside it is touched, the network stays closed. What does
not fit is found in the files' headers, before a weight is read. Weights are mapped into memory, not copied: a layer is
read from the disk when it first computes, and a fused or transposed matrix stays as it is stored, its parts views of
it. What is written to a weight stays in memory. Numbers that are not finite are not looked for, since that would read
everything.

A link is followed where it leads into the blobs of the hub's cache that the folder itself lies in, and nowhere else.
"""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.checkpoint.disk import read_json
from zoo.checkpoint.dtypes import one_type, type_name
from zoo.checkpoint.model import listed, put, weights_of
from zoo.checkpoint.pages import let_go
from zoo.checkpoint.tensors import DTYPES, open_tensors, usable_device
from zoo.errors import CheckpointError, ConfigError, quoted
from zoo.interop.base import ARCHITECTURES, all_known
from zoo.interop.configs import read_config
from zoo.interop.shards import check_files, check_places, plain_file, read_index, refuse_shards
from zoo.interop.weights import NamedTensor, Plan, fit, placed, plan_of, same_numbers, to_ours, within
from zoo.models import Model, ModelConfig
from zoo.models.base import collector_paused
from zoo.registry import unknown_name
from zoo.spelling import named, spelled

CONFIG_NAME = "config.json"
GENERATION_NAME = "generation_config.json"
WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
WHOLE = (WEIGHTS_NAME, INDEX_NAME)
"""What a folder with weights has one of."""
WEIGHTS = "*.safetensors"
"""Where there is an index, it must name each of them, since nobody can tell others from shards of other weights;"""
ASIDE = ("consolidated*.safetensors", "adapter_model*.safetensors", "model.*.safetensors")
"""but for files that are there on purpose, by their names: the same weights as Mistral's own code reads them, adapters
of peft, and transformers' variants of the whole (model.fp16.safetensors, model.fp16-00001-of-00002.safetensors)."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
ADAPTER_NAME = "adapter_config.json"
MAX_CONFIG_BYTES = 1 << 20
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
"""What weights may be stored as."""
TYPE_NAMES = {type_name(one): one for one in FLOATS}
"""The `dtype` (formerly `torch_dtype`) of a config.json."""


def is_foreign(folder: Path) -> bool:
    """Whether a folder says what it is in the foreign way."""
    return (folder / CONFIG_NAME).is_file()


def read_foreign_config(folder: Path, tensors: Container[str] | None = None) -> ModelConfig:
    """Our config of the model in a foreign folder: that of what is loaded, as far as its files of weights are there.

    Args:
        folder: with config.json; of safetensors that lie beside it only the headers are read.
        tensors: the names of its weights, where they come from other files.

    Raises:
        CheckpointError: a file is missing or damaged. ConfigError: the architecture or a setting is not covered.
    """
    return _read_config(folder, *config_in(folder), tensors)


def architecture_of(folder: Path) -> str:
    """The name in ARCHITECTURES of the model in a foreign folder; raises as `read_foreign_config` does."""
    return config_in(folder)[0]


def said_classes(folder: Path) -> list[str]:
    """The classes of transformers that a foreign folder's config.json names, as it does of a model that was saved."""
    classes = config_in(folder)[1].get("architectures")
    return [one for one in classes if isinstance(one, str)] if isinstance(classes, list) else []


class Opened(NamedTuple):
    """A foreign folder whose files fit its config; of its weights, only the headers have been read.

    Attributes:
        folder: where it is. architecture: its table. config: ours.
        said: config.json. plan: which tensor is which.
        stored: what its files hold, by the table's names. given: the names in `stored` of each foreign tensor.
        apart: modules in its files that are no part of the model.
    """

    folder: Path
    architecture: str
    config: ModelConfig
    said: Mapping[str, Any]
    plan: Plan
    stored: Mapping[str, Stored]
    given: Mapping[str, list[str]]
    apart: list[str]

    def load(self, device: str | torch.device = "cpu", dtype: torch.dtype | None = None) -> Model:
        """The model; see `load_foreign`."""
        device = usable_device(device)
        with collector_paused():
            with torch.device("meta"):
                model = self.config.build_unset()
            places = {one: shared for shared in weights_of(model) for one in shared.names}
            parameters = {name for name, shared in places.items() if isinstance(shared.tensor, nn.Parameter)}
            types = self._types(parameters)
            if dtype is None:
                dtype = one_type(types, said_type(self.said), self.folder)
                if dtype is None:
                    self._tell_other_type({*types.values()})
            for names, tensor in self.read(device, dtype):
                put(places[names[0]], tensor)
        self.tell_unread()
        return model.eval()

    def read(self, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Iterator[NamedTensor]:
        """Our tensors, each with all its names, file by file; None: on the CPU, and of the type that is stored."""
        tensors = {foreign: self.stored[group[0]] for foreign, group in self.given.items()}
        for path in dict.fromkeys(one.path for one in tensors.values()):
            here = {foreign for foreign, one in tensors.items() if one.path == path}
            with open_tensors(path, mapped=True) as file:
                for whole, parts in to_ours(self.plan, lambda name: file.get_tensor(tensors[name].name), here):
                    moved = [(names, part.to(device, dtype)) for names, part in parts]
                    if dtype not in (None, whole.dtype) or (device is not None and device.type != "cpu"):
                        let_go(whole)  # all of it has been copied
                    yield from moved

    def _types(self, parameters: set[str]) -> dict[str, torch.dtype]:
        """As they are stored, by their foreign names, of those that hold parameters of ours."""
        return {
            link.foreign: DTYPES[self.stored[self.given[link.foreign][0]].code]
            for link in self.plan.links
            if parameters.intersection(link.ours)
        }

    def tell_unread(self) -> None:
        """Warns of what is in the folder and no part of the model: safetensors, parts of them, and code."""
        if self.apart:
            told = f"left out, as transformers does: {listed(self.apart)}, which is no part of this {self.architecture}"
            warnings.warn(f"{self.folder}: {told}", stacklevel=3)
        if "auto_map" in self.said:
            told = "the Python code of the folder (auto_map) never runs here; it opens as transformers' own"
            warnings.warn(f"{self.folder}: {told} {self.architecture}", stacklevel=3)
        if names := unread_files(self.folder):
            own = f"{INDEX_NAME} names" if (self.folder / INDEX_NAME).is_file() else f"{WEIGHTS_NAME} holds"
            warnings.warn(
                f"{self.folder}: not read: {listed(names)}; the model is what {own}, without adapters that lie beside "
                "it",
                stacklevel=3,
            )

    def _tell_other_type(self, stored_as: set[torch.dtype]) -> None:
        """Warns where config.json says a type that no weight has: transformers turns them into it."""
        said = said_type(self.said)
        if said is not None and said not in stored_as:
            held = ", ".join(sorted(map(type_name, stored_as)))
            warnings.warn(
                f"{self.folder}: the weights stay {held}, as they are stored; transformers turns them into the "
                f"{type_name(said)} that {CONFIG_NAME} says, and so does {named('dtype', type_name(said))} here",
                stacklevel=4,
            )


def said_type(config: Mapping[str, Any]) -> torch.dtype | None:
    """The type that a config.json says of the weights, if it says one; raises CheckpointError where it is none."""
    said = config.get("dtype") or config.get("torch_dtype")
    if said is None:
        return None
    name = said.removeprefix("torch.") if isinstance(said, str) else said
    if not isinstance(name, str) or name not in TYPE_NAMES:
        raise CheckpointError(
            f"{CONFIG_NAME}: dtype is {quoted(said)}, which is no type of weights; write one of {', '.join(TYPE_NAMES)}"
        )
    return TYPE_NAMES[name]


def open_foreign(folder: Path) -> Opened:
    """A foreign folder, its files compared with its config; of its weights, only the headers are read.

    Raises:
        CheckpointError: a file is missing or damaged, or the weights are not those of the config (all differences in
            one message). ConfigError: the architecture or a setting is not covered.
    """
    architecture, said = config_in(folder)
    return compared(folder, architecture, said, _read_config(folder, architecture, said))


def compared(folder: Path, architecture: str, said: Mapping[str, Any], config: ModelConfig) -> Opened:
    """A foreign folder, its files compared with a config of ours; raises CheckpointError as `open_foreign` does."""
    table = ARCHITECTURES[architecture]
    plan, stored = plan_of(table, config), stored_tensors(folder)
    found = {known: stored[name] for name, known in placed(table, plan, within(table, said, stored)).items()}

    def same(one: str, other: str) -> bool:
        with (
            open_tensors(found[one].path, mapped=True) as first,
            open_tensors(found[other].path, mapped=True) as second,
        ):
            return same_numbers(first.get_tensor(found[one].name), second.get_tensor(found[other].name))

    refusal, faults = f"{folder}: its weights are not those of this {architecture}; nothing was loaded", []
    given: dict[str, list[str]] = {}
    try:
        given = fit(found, plan.foreign, plan.foreign_copies, refusal, same)
    except CheckpointError as error:
        faults.append(str(error))
    if wrong := _of_other_types(one for name, one in found.items() if name in {*plan.foreign, *plan.foreign_copies}):
        faults.append(wrong if faults else f"{folder}: {wrong}")
    if faults:
        raise CheckpointError("; ".join(faults))
    return Opened(folder, architecture, config, said, plan, found, given, table.apart(dict(said), stored))


def load_foreign(folder: Path, device: str | torch.device = "cpu", dtype: torch.dtype | None = None) -> Model:
    """The model in a foreign folder, in evaluation mode; its weights are mapped into memory.

    Args:
        folder: with config.json and safetensors.
        device: where the weights go.
        dtype: what they are turned into, tensor by tensor; None: they stay as they are stored, unless they are stored
            in several types (`one_type`).

    Raises:
        CheckpointError: a file is missing or damaged, or the weights are not those of the config (all differences in
            one message). ConfigError: the architecture or a setting is not covered, or no such device.
    """
    return open_foreign(folder).load(device, dtype)


def read_foreign_weights(folder: Path) -> dict[str, Tensor]:
    """Our weights of the model in a foreign folder, by our names, shared ones under each of theirs, as they are stored.

    Raises:
        CheckpointError, ConfigError: as `load_foreign`.
    """
    opened = open_foreign(folder)
    opened.tell_unread()
    return {one: tensor for names, tensor in opened.read() for one in names}


def _of_other_types(tensors: Iterable[Stored]) -> str:
    """What is told of tensors that are stored as what no weight is; "": there is none."""
    wrong = [f"{one.name} ({one.code})" for one in tensors if DTYPES.get(one.code) not in FLOATS]
    legal = "weights are stored as F64, F32, F16 or BF16 (quantized ones do not open here)"
    return f"of another type: {listed(wrong)}; {legal}" if wrong else ""


# ---------------------------------------------------------------------------------------------------------------- files


class Stored(NamedTuple):
    """A tensor in a file, as its header says.

    Attributes:
        name: there. path: of the file. shape: of the tensor. code: its type, as safetensors calls it.
    """

    name: str
    path: Path
    shape: torch.Size
    code: str


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """What the weight files of a folder hold, by name; only their headers are read.

    Raises:
        CheckpointError: a file is missing or damaged, or the files are not as the index says.
    """
    index = read_index(folder, INDEX_NAME)
    # By the name in the folder: a link of the hub's cache leads to a file of another name.
    names = {plain_file(folder, name): name for name in set(index.values())}
    found: list[Stored] = []
    for path in weight_files(folder):
        with open_tensors(path) as file:
            for name in file.keys():  # noqa: SIM118  (a file is no mapping)
                piece = file.get_slice(name)
                found.append(Stored(name, path, torch.Size(piece.get_shape()), piece.get_dtype()))
    check_places(folder, INDEX_NAME, index, [(one.name, names.get(one.path, one.path.name)) for one in found])
    return {one.name: one for one in found}


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold the model of a foreign folder: those of its index, or the only one.

    Raises:
        CheckpointError: it has none, a shard that the index names is missing, there is one that it does not name, or
            one without an index.
    """
    there = {path.name for path in folder.glob(WEIGHTS) if not _is_aside(path)}
    if (folder / INDEX_NAME).is_file():
        names = {*read_index(folder, INDEX_NAME).values()}
        check_files(folder, INDEX_NAME, names, there)
        return [plain_file(folder, name) for name in sorted(names)]
    if not (folder / WEIGHTS_NAME).is_file():
        raise CheckpointError(f"{folder} has no {WEIGHTS_NAME}{other_weights(folder)}")
    refuse_shards(folder, WEIGHTS_NAME, INDEX_NAME, there)
    return [plain_file(folder, WEIGHTS_NAME)]


def unread_files(folder: Path) -> list[str]:
    """The safetensors files of a foreign folder that are no part of its model, by name."""
    read = {*read_index(folder, INDEX_NAME).values()} or {WEIGHTS_NAME}
    return sorted(path.name for path in folder.glob(WEIGHTS) if path.name not in read)


def _is_aside(path: Path) -> bool:
    return any(path.match(pattern) for pattern in ASIDE)


def other_weights(folder: Path) -> str:
    """The end of an error about a folder without safetensors: what it has instead, and what opens that."""
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if (folder / ADAPTER_NAME).is_file():
        return (
            f"; it is an adapter ({ADAPTER_NAME}) without the model that it changes, and adapters do not open here: "
            "merge it into its model with peft (merge_and_unload), and save that"
        )
    if not pickles:
        others = sorted(path.name for path in folder.glob("*.gguf"))
        gguf = f"; GGUF does not open here ({listed(others)})" if others else ""
        found = listed(sorted(path.name for path in folder.glob("*")))
        if not (folder / CONFIG_NAME).is_file():
            return gguf
        return f" (found: {found}){gguf}; fetch the model's safetensors too, all of them"
    return (
        f"; its weights are pickles ({listed(pickles)}), which can run code when they are opened, so this never opens "
        f"them. Where you trust their source: {_as_unsafe(folder)}"
    )


def pickle_file(path: Path) -> str:
    """The end of an error about a file that stands where a folder should: what opens it where it is a pickle, or ""."""
    if not path.is_file() or not any(path.match(pattern) for pattern in PICKLES):
        return ""
    if (path.parent / CONFIG_NAME).is_file() and path.name.startswith("pytorch_model"):
        return other_weights(path.parent)
    return (
        "; it is a pickle, which can run code when it is opened, so this never opens it. Where you trust its source: "
        f"{_as_unsafe(path)}"
    )


def _as_unsafe(place: Path) -> str:
    """The command that opens pickles."""
    from zoo.interop.unsafe.base import candidates  # which reads foreign folders with what stands here

    first, *others = candidates(place)
    return f"zoo import {place} <new folder> --unsafe-format {first}{', or ' * bool(others)}{', '.join(others)}"


# --------------------------------------------------------------------------------------------------------------- config


@spelled({})  # fields of a file
def _read_config(
    folder: Path, architecture: str, said: Mapping[str, Any], tensors: Container[str] | None = None
) -> ModelConfig:
    """Ours; a pooler or an output layer is there only if the weights have it."""
    table = ARCHITECTURES[architecture]
    if tensors is None and (table.pooler or table.output) and any((folder / one).is_file() for one in WHOLE):
        tensors = stored_tensors(folder)
    try:
        return read_config(architecture, said, tensors)
    except ConfigError as error:
        raise ConfigError(f"{folder / CONFIG_NAME}: {error}") from None


def config_in(folder: Path) -> tuple[str, dict[str, Any]]:
    """The name in ARCHITECTURES of the model in a foreign folder and its config.json; raises as `architecture_of`."""
    path = folder / CONFIG_NAME
    config = read_json(plain_file(folder, CONFIG_NAME), MAX_CONFIG_BYTES)
    name = config.get("model_type") if isinstance(config, dict) else None
    code = config.get("auto_map") if isinstance(config, dict) else None
    if code is not None and not all_known(name, config.get("architectures"), code):
        raise ConfigError(
            f"{path}: auto_map: the model is built by Python code in its folder ({name}), which never runs here; only "
            "architectures of transformers itself open (zoo list --architectures)"
        )
    if not isinstance(config, dict) or name is None:
        raise ConfigError(
            f'{path} has no model_type, which names the architecture; add it, for example {{"model_type": "gpt2"}} '
            "(zoo list --architectures)"
        )
    if config.get("quantization_config"):
        raise ConfigError(
            f"{path}: quantization_config: quantized weights do not open here; take the model from before it was "
            "quantized, with weights in F64, F32, F16 or BF16"
        )
    if not isinstance(name, str) or name not in ARCHITECTURES:
        raise ConfigError(f"{path}: {unknown_name('architecture', str(name), ARCHITECTURES)}")
    return name, config
