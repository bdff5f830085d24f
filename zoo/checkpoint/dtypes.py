"""One floating-point type for all weights of a model: layers cannot compute with what has another type than they have.

Files of several types are common all the same. transformers writes T5's `wo` in float32 where the rest is float16, and
libraries that merge adapters leave a head in float32. It turns all into the type that config.json says, but for what it
keeps in float32; so do we, but for float16, whose numbers end at 65,504: what somebody kept wider need not fit into it.
"""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from collections.abc import Mapping

import torch


def one_type(stored: Mapping[str, torch.dtype], said: torch.dtype | None, where: object) -> torch.dtype | None:
    """What all weights are turned into where they have several floating-point types, with a warning.

    Args:
        stored: name of a parameter → its type; others than floating-point ones do not count.
        said: the type that the model's config says, if it says one.
        where: the folder or file, for the warning.

    Returns:
        None where the weights have one type, which they keep. Else what the config says, unless that is float16; else
        the widest, so that nothing is rounded.
    """
    names: dict[torch.dtype, list[str]] = defaultdict(list)
    for name, dtype in stored.items():
        if dtype.is_floating_point:
            names[dtype].append(name)
    if len(names) < 2:
        return None
    is_said = said is not None and said is not torch.float16
    wanted = said if is_said else functools.reduce(torch.promote_types, names)
    rarest = min(names, key=lambda dtype: len(names[dtype]))
    counts = ", ".join(f"{len(group)} {type_name(dtype)}" for dtype, group in names.items())
    reason = "as its config says" if is_said else "so that none is rounded"
    warnings.warn(
        f"{where}: its weights are stored in several types ({counts}; {type_name(rarest)} is for example "
        f"{names[rarest][0]}), which cannot compute together; all are turned into {type_name(wanted)}, {reason}. "
        "ask for another by dtype",
        stacklevel=2,
    )
    return wanted


def type_name(dtype: torch.dtype | None) -> str:
    """As configs and arguments name it."""
    return str(dtype).removeprefix("torch.")
