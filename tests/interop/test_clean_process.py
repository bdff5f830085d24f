"""A process that knows nothing of us opens what we exported, of every architecture, and computes the same logits."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import zoo
from tests.interop.cases import FIRST
from tests.interop.parity import our_config, our_weights, sides, with_kernel
from zoo.interop import ARCHITECTURES

TOLERANCE = 1e-5
"""Of the logits in float32, relative; measured: below 7e-7."""

CODE = """
import json, sys
import torch, transformers
from safetensors.torch import load_file

found = {}
for name, opened in json.loads(sys.argv[1]).items():
    batch = load_file(f"{name}.batch")
    real, expected = batch.pop("real"), batch.pop("logits")
    model, told = getattr(transformers, opened).from_pretrained(
        name, attn_implementation="eager", output_loading_info=True
    )
    if name == "deepseek_v3":
        model.set_experts_implementation("eager")
    with torch.no_grad():
        output = model.eval()(**batch)
    logits = (output.logits if "logits" in output else output.prediction_logits)[real]
    problems = [*told["missing_keys"], *told["unexpected_keys"], *told["mismatched_keys"]]
    difference = (logits - expected).norm() / expected.norm() if logits.shape == expected.shape else None
    found[name] = [None if difference is None else float(difference), list(map(str, problems))]
assert "zoo" not in sys.modules
print(json.dumps(found))
"""


def export_with_a_batch(architecture: str, folder: Path) -> str:
    """Exports the first case of an architecture, and beside it a padded batch with our logits of it; the class."""
    name = FIRST[architecture]
    model = with_kernel(our_config(name), "reference").build_unset()
    model.load_state_dict({key: tensor.float() for key, tensor in our_weights(name).items()})
    opened = zoo.export(model.eval(), folder / architecture, architecture=architecture)
    batch = sides(name, "right")
    with torch.no_grad():
        logits = model(**batch.ours)["language_model"]
    targets = {"decoder_input_ids": batch.ours["decoder_tokens"]} if "decoder_tokens" in batch.ours else {}
    given = {**batch.theirs, **targets, "real": batch.real, "logits": logits[batch.real]}
    save_file({key: tensor.clone() for key, tensor in given.items()}, folder / f"{architecture}.batch")
    return opened


@pytest.mark.slow
def test_every_architecture_has_the_same_logits_there(tmp_path: Path) -> None:
    opened = {architecture: export_with_a_batch(architecture, tmp_path) for architecture in FIRST}
    command = [sys.executable, "-I", "-c", CODE, json.dumps(opened)]
    ended = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    print("\n".join(f"{name:12} {difference:.1e}" for name, (difference, _) in found.items()))
    assert found.keys() == opened.keys() == {*ARCHITECTURES}
    for name, (difference, problems) in found.items():
        assert not problems, (name, problems)
        assert difference is not None
        assert difference < TOLERANCE, (name, difference)
