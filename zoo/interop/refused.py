"""What else is wrong with a foreign folder whose config is refused, so that all of it is told at once."""

from __future__ import annotations

from pathlib import Path

from zoo.errors import ZooError
from zoo.interop.configs import but_unknown, read_config
from zoo.interop.folder import compared, config_in, stored_tensors


def weights_at_fault(folder: Path) -> str:
    """What does not fit of the weights in a folder whose config has fields that are not known.

    They are compared with the model that the other fields describe; where those are refused too, nothing is told ("").
    """
    try:
        architecture, said = config_in(folder)
        tensors = stored_tensors(folder)
        config = read_config(architecture, but_unknown(architecture, said), tensors)
    except ZooError:
        return ""
    try:
        compared(folder, architecture, said, config)
    except ZooError as error:
        return str(error)
    return ""
