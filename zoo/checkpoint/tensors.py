"""A tree of tensors and plain values as two files: `<stem>.safetensors` holds the tensors, `<stem>.json` the rest.

In the JSON a list is a list, and None, bools, strings, ints and finite floats are themselves (a float's shortest
decimal form reads back to the same bits). Every object has exactly one key, which says what it stands for:

    {"dict": {…}}            a dict whose keys are all strings
    {"items": [[k, v], …]}   a dict with int keys among them, in its order
    {"tuple": […]}
    {"float": "inf"}         inf, -inf, nan
    {"tensor": "name"}       the tensor of that name in the safetensors file

A tensor that occurs twice (same memory, shape and strides) is stored once and comes back as one tensor. Other views of
one memory are stored in full and come back apart. What comes back is contiguous and wants no gradient.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor, nn

from zoo.checkpoint import folder as folders
from zoo.checkpoint.disk import disk_errors, ensure_space, open_plain, parse_json, read_json
from zoo.errors import CheckpointError, ConfigError

MAX_DEPTH = 100
MAX_JSON_BYTES = 64 << 20
MAX_HEADER_BYTES = 16 << 20
ALIGNMENT = 64
"""Bytes: where in a file the numbers begin. Mapped into memory, they then lie as torch lays its own."""
MAX_INT_BITS = 10_000  # Python reads back ints of at most 4,300 decimal digits

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
}
"""What safetensors calls each type that can be stored."""

_CODES = {dtype: code for code, dtype in DTYPES.items()}

_SPECIAL_FLOATS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


# --------------------------------------------------------------------------------------------------------------- saving


def save_tree(tree: Any, folder: str | Path, stem: str) -> None:
    """Writes `<stem>.safetensors` and `<stem>.json` into `folder`, which exists.

    Args:
        tree: nested dicts (keys: str or int), lists and tuples of tensors, None, bools, ints, floats and strings.
            An OrderedDict comes back as a dict.
        folder: where to; give it to `write_folder` if the two files must be whole or absent.
        stem: first part of the files' names.

    Raises:
        CheckpointError: anything else in the tree (a NumPy scalar, a class of one's own, a sparse or meta tensor, …),
            by its path; too little space; a write that fails.
    """
    folder = Path(folder)
    writer = _TreeWriter()
    text = json.dumps(writer.encode(tree, "", 0), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    if len(text) > MAX_JSON_BYTES:
        raise CheckpointError(f"{stem}.json would have {len(text):,} bytes, at most {MAX_JSON_BYTES:,} are read back")
    ensure_space(folder, len(text) + sum(tensor.nbytes for tensor in writer.tensors.values()))
    save_tensors(writer.tensors, folder / f"{stem}.safetensors")
    folders.fault(f"{stem} tensors written")
    with disk_errors(f"write {folder / stem}.json"):
        (folder / f"{stem}.json").write_text(text, encoding="ascii")


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Writes one safetensors file, tensor after tensor: at most one of them is copied at a time.

    The library's own writer copies whatever is on a device to the host first, all at once, and refuses views of one
    memory. (Layout: 8 bytes length of the header, the header as JSON, the data without gaps.)

    Raises:
        CheckpointError: a tensor that cannot be stored, by name; more names than the format allows; a write that fails.
    """
    for name, tensor in tensors.items():
        _check_storable(tensor, name)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    order = sorted(
        tensors, key=lambda name: -tensors[name].element_size()
    )  # wide types first keeps all of them aligned
    offset = 0
    for name in order:
        tensor = tensors[name]
        end = offset + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _CODES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    if len(text) > MAX_HEADER_BYTES:
        raise CheckpointError(
            f"{path.name} would need {len(text):,} bytes for names, {MAX_HEADER_BYTES:,} are the limit"
        )
    with disk_errors(f"write {path}"), path.open("xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            file.write(_raw(tensors[name]))


def _check_storable(tensor: Tensor, path: str) -> None:
    if type(tensor) not in (Tensor, nn.Parameter):
        raise CheckpointError(f"{path}: a checkpoint holds plain tensors, not a {_type_name(tensor)}; gather it first")
    if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
        what = "meta" if tensor.is_meta else "quantized" if tensor.is_quantized else str(tensor.layout)
        raise CheckpointError(f"{path}: a checkpoint holds dense tensors with data, not a {what} tensor")
    if tensor.dtype not in _CODES:
        raise CheckpointError(f"{path}: a checkpoint cannot hold the type {tensor.dtype}")


def _raw(tensor: Tensor) -> memoryview:
    """The numbers of a tensor, row by row, as bytes."""
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().data


class _TreeWriter:
    """Turns a tree into JSON data, and collects its tensors by name."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._names: dict[tuple[Any, ...], str] = {}

    def encode(self, value: Any, path: str, depth: int) -> Any:
        """The JSON data for `value`; `path` is where it stands in the tree."""
        if depth > MAX_DEPTH:
            raise CheckpointError(f"{path[:200]}: nested deeper than {MAX_DEPTH} levels, or it contains itself")
        kind = type(value)
        if value is None or kind is bool or (kind is int and value.bit_length() <= MAX_INT_BITS):
            return value
        if kind is str:
            return _checked_text(value, path)
        if kind is float:
            return value if math.isfinite(value) else {"float": str(value)}
        if kind is list:
            return [self.encode(child, _join(path, index), depth + 1) for index, child in enumerate(value)]
        if kind is tuple:
            return {"tuple": [self.encode(child, _join(path, index), depth + 1) for index, child in enumerate(value)]}
        if kind in (dict, OrderedDict):
            return self._encode_dict(value, path, depth)
        if isinstance(value, Tensor):
            return {"tensor": self._name(value, path)}
        raise CheckpointError(f"{path or 'the tree'}: a checkpoint cannot hold a {_type_name(value)}{_hint(value)}")

    def _encode_dict(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        for key in value:
            if type(key) not in (str, int):
                raise CheckpointError(
                    f"{path or 'the tree'}: key {key!r} is a {_type_name(key)}; keys are text or ints"
                )
            _checked_text(str(key), path)
        pairs = [(key, self.encode(child, _join(path, key), depth + 1)) for key, child in value.items()]
        if all(type(key) is str for key, _ in pairs):
            return {"dict": dict(pairs)}
        return {"items": [list(pair) for pair in pairs]}

    def _name(self, tensor: Tensor, path: str) -> str:
        _check_storable(tensor, path)
        place: tuple[Any, ...] = (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        place += (tensor.is_conj(), tensor.is_neg())
        if tensor.numel() and place in self._names:
            return self._names[place]
        name, count = path or "tensor", 1
        while name in self.tensors or name == "__metadata__":  # keys 1 and "1" of one dict, or a key with a slash
            count += 1
            name = f"{path}#{count}"
        self._names[place] = name
        self.tensors[name] = tensor
        return name


def _join(path: str, key: object) -> str:
    return f"{path}/{key}" if path else str(key)


def _checked_text(text: str, path: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise CheckpointError(f"{path or 'the tree'}: {text[:40]!r} is no valid Unicode text") from None
    return text


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


def _hint(value: object) -> str:
    if hasattr(value, "dtype") and hasattr(value, "item"):
        return "; turn it into a Python number with .item(), or into a tensor"
    return "; it holds tensors, None, bools, ints, floats, strings, and lists, tuples and dicts of them"


# -------------------------------------------------------------------------------------------------------------- loading


def load_tree(folder: str | Path, stem: str, *, device: str | torch.device = "cpu") -> Any:
    """The tree that `save_tree` wrote into `folder` under `stem`; verify the folder first (`verify_folder`).

    Args:
        folder: where the two files are.
        stem: first part of their names.
        device: where the tensors go.

    Raises:
        CheckpointError: a file is missing, damaged or foreign, or the two do not fit together.
        ConfigError: this machine does not have the device.
    """
    json_path, tensor_path = Path(folder) / f"{stem}.json", Path(folder) / f"{stem}.safetensors"
    reader = _TreeReader(load_tensors(tensor_path, device=device), json_path)
    tree = reader.decode(read_json(json_path, MAX_JSON_BYTES), 0)
    unused = sorted(reader.tensors.keys() - reader.used)
    if unused:
        raise CheckpointError(f"{tensor_path} holds {', '.join(unused[:5])}, which {json_path.name} does not name")
    return tree


def load_tensors(path: Path, *, device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """All tensors of one safetensors file, copied into memory: they do not change if the file does.

    Raises:
        CheckpointError: the file is missing or no valid safetensors file.
    """
    device = usable_device(device)
    with open_tensors(path) as file:
        return {name: file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118  (a file is no mapping)


def usable_device(device: str | torch.device) -> torch.device:
    """The device, tried out. Raises ConfigError where this machine does not have it."""
    try:
        found = torch.device(device)
        torch.empty(1, device=found).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{str(device)!r} cannot be used on this machine ({reason})", "device") from None
    return found


@contextlib.contextmanager
def open_tensors(path: Path, mapped: bool = False) -> Iterator[Any]:
    """A safetensors file, its header checked: `keys()`, `get_slice(name)`, `get_tensor(name)` (in host memory).

    Args:
        path: of the file.
        mapped: whether its tensors are the file itself, mapped into memory: nothing is read before it is used, and what
            is written to a tensor stays in memory. Such a tensor changes, or crashes the process, with the file.

    Raises:
        CheckpointError: the file is missing or no valid safetensors file, or the library raises in the block.
    """
    _check_header(path)
    try:
        with safetensors.safe_open(path, framework="pt", backend="mmap" if mapped else "pread") as file:
            yield file
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file: {error}") from None


def _check_header(path: Path) -> None:
    """Refuses what the library lets pass: a link, a header of many megabytes, a name that occurs twice."""
    with open_plain(path) as file, disk_errors(f"read {path}"):
        size = int.from_bytes(file.read(8), "little")
        if size > MAX_HEADER_BYTES:
            raise CheckpointError(
                f"{path} is damaged or foreign: a header of {size:,} bytes (limit {MAX_HEADER_BYTES:,})"
            )
        parse_json(file.read(size), path)


class _TreeReader:
    """Turns JSON data back into a tree; everything that `_TreeWriter` does not write is an error."""

    def __init__(self, tensors: dict[str, Tensor], path: Path) -> None:
        self.tensors = tensors
        self.used: set[str] = set()
        self._path = path

    def decode(self, data: Any, depth: int) -> Any:
        """The value that `data` stands for."""
        if depth > MAX_DEPTH:
            raise self._damaged("nested too deeply")
        if isinstance(data, list):
            return [self.decode(child, depth + 1) for child in data]
        if not isinstance(data, dict):
            if isinstance(data, float) and not math.isfinite(data):
                raise self._damaged("a number is too large")
            return data
        if len(data) != 1:
            raise self._damaged(f"an object has {len(data)} keys instead of one")
        tag, content = next(iter(data.items()))
        decoders = {
            "dict": self._dict,
            "items": self._items,
            "tuple": self._tuple,
            "float": self._float,
            "tensor": self._tensor,
        }
        if tag not in decoders:
            raise self._damaged(f"{tag[:40]!r} is no kind of value ({', '.join(decoders)})")
        return decoders[tag](content, depth)

    def _dict(self, content: Any, depth: int) -> dict[str, Any]:
        if not isinstance(content, dict):
            raise self._damaged("a dict is no object")
        return {key: self.decode(child, depth + 1) for key, child in content.items()}

    def _items(self, content: Any, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for pair in content if isinstance(content, list) else [None]:
            if not isinstance(pair, list) or len(pair) != 2 or type(pair[0]) not in (str, int) or pair[0] in found:
                raise self._damaged("items are no pairs of a key of its own and a value")
            found[pair[0]] = self.decode(pair[1], depth + 1)
        return found

    def _tuple(self, content: Any, depth: int) -> tuple[Any, ...]:
        if not isinstance(content, list):
            raise self._damaged("a tuple is no list")
        return tuple(self.decode(child, depth + 1) for child in content)

    def _float(self, content: Any, depth: int) -> float:
        if not isinstance(content, str) or content not in _SPECIAL_FLOATS:
            raise self._damaged(f"{str(content)[:40]!r} is no special float ({', '.join(_SPECIAL_FLOATS)})")
        return _SPECIAL_FLOATS[content]

    def _tensor(self, content: Any, depth: int) -> Tensor:
        if not isinstance(content, str) or content not in self.tensors:
            raise self._damaged(f"it names the tensor {str(content)[:80]!r}, which is not there")
        self.used.add(content)
        return self.tensors[content]

    def _damaged(self, reason: str) -> CheckpointError:
        return CheckpointError(f"{self._path} is damaged or foreign: {reason}; use another checkpoint")
