"""Models of others into folders of ours: read once, checked, written whole."""

from __future__ import annotations

from pathlib import Path

from zoo.checkpoint.model import listed, weights_of
from zoo.checkpoint.verified import is_finite
from zoo.errors import CheckpointError, ConfigError
from zoo.generation.conventions import Conventions
from zoo.interop.unsafe import UNSAFE
from zoo.loading import conventions_in, load, warn_of_settings
from zoo.pretrained import Pretrained
from zoo.registry import unknown_name
from zoo.saving import save
from zoo.tokenizer.foreign import open_tokenizer


def import_model(
    source: str,
    folder: str | Path,
    *,
    unsafe_format: str | None = None,
    tokenizer: str | Path | None = None,
    revision: str | None = None,
) -> Pretrained:
    """Writes a model of somebody else as a model folder of ours.

    Args:
        source: a Hugging Face folder, `hub:owner/name`, or, with `unsafe_format`, a file or folder of that format.
        folder: where to; it must not exist yet.
        unsafe_format: of pickles ("nanogpt", …; `zoo import --help` has them all), which are read in weights-only
            mode. Only for files whose source is trusted.
        tokenizer: a folder or a file with the tokenizer, where the source has none. What ends a text and the chat
            template that lie beside it come along, unless the source says its own.
        revision: of a model on the hub: a branch, a tag or a commit.

    Returns:
        The model that was written.

    Raises:
        CheckpointError: the source is missing, damaged, or not finite; `folder` exists or cannot be written.
        ConfigError: an architecture, a setting or a format that does not open here.
        DataError: the tokenizer is damaged.
    """
    target = Path(folder).expanduser()
    if target.exists():
        raise CheckpointError(f"{target} exists already; choose another name or remove it")
    model = _unsafe(Path(source).expanduser(), unsafe_format) if unsafe_format else load(source, revision=revision)
    if tokenizer is not None:
        if model._tokenizer is not None:
            raise ConfigError(f"{source} has one already; leave it out", "tokenizer")
        model = _with_tokenizer(model, Path(tokenizer).expanduser())
    broken = [shared.names[0] for shared in weights_of(model.model) if not is_finite(shared.tensor)]
    if broken:
        raise CheckpointError(f"{source} holds NaN or infinite numbers in {listed(broken)}; take another copy of it")
    save(model, target)
    return model


def _with_tokenizer(model: Pretrained, place: Path) -> Pretrained:
    """The model with a tokenizer, and with what the tokenizer's folder says of ends and conversations."""
    beside = conventions_in(place if place.is_dir() else place.parent)
    own = model.conventions
    ends = own if own.stop or not own.end_stops else beside
    used = own._replace(stop=ends.stop, end_stops=ends.end_stops, template=own.template or beside.template)
    whole = Pretrained(model.model, open_tokenizer(place), used)
    whole.architecture, whole.source = model.architecture, model.source
    return whole


def _unsafe(place: Path, format: str) -> Pretrained:
    if format not in UNSAFE:
        raise ConfigError(unknown_name("unsafe format", format, UNSAFE), "unsafe_format")
    if not place.exists():
        raise CheckpointError(f"{place} is missing; name a file or a folder")
    read = UNSAFE[format].read(place)
    # The files that say how a model is used are JSON, and lie beside weights of any format.
    used = conventions_in(place) if place.is_dir() else Conventions()
    model = Pretrained(read.build(place), read.tokenizer, used._replace(stop=(*used.stop, *read.stop)))
    model.architecture = read.architecture
    warn_of_settings(model, place)
    return model
