"""What is told of weights beside a config that is refused."""

import json
from pathlib import Path

import pytest

import zoo
from tests.interop.test_folder import SIZE, write_foreign
from zoo.interop.refused import weights_at_fault


@pytest.mark.parametrize(
    "fields, told",
    [
        ({"hat": 1}, ""),
        ({"hat": 1, "n_positions": 33}, "wrong shape: transformer.wpe.weight is (32, 16), not (33, 16)"),
        ({"is_decoder": True, "n_layer": 3}, "missing: transformer.h.2."),
        ({"hat": 1, "n_head": 3}, ""),  # no model, so nothing to compare with
        ({"model_type": "strange"}, ""),
    ],
)
def test_weights_are_compared_with_what_the_known_fields_describe(
    fields: dict[str, object], told: str, tmp_path: Path
) -> None:
    folder = write_foreign(tmp_path / "theirs", zoo.create_model("gpt2", vocab_size=40, **SIZE))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **fields}))
    found = weights_at_fault(folder)
    assert told in found
    assert bool(told) == bool(found)
