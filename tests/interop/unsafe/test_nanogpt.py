"""nanoGPT's checkpoints compute what GPT-2 of transformers computes with the same weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from zoo.errors import CheckpointError, ConfigError
from zoo.interop.unsafe import UNSAFE

SIZES = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 12, "vocab_size": 64}


def oracle() -> transformers.GPT2LMHeadModel:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        n_layer=2, n_head=2, n_embd=16, n_positions=12, vocab_size=64, activation_function="gelu", initializer_range=0.2
    )
    model = transformers.GPT2LMHeadModel(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def checkpoint(model: transformers.GPT2LMHeadModel, bias: bool = True, prefix: str = "") -> dict[str, Any]:
    """As nanoGPT's train.py saves it: matrices (out, in), the output layer under its own name too."""
    weights = {}
    for name, tensor in model.state_dict().items():
        if not bias and name.endswith(".bias"):
            continue
        is_turned = tensor.ndim == 2 and any(part in name for part in ("c_attn", "c_proj", "c_fc"))
        weights[prefix + name] = tensor.T.contiguous() if is_turned else tensor
    arguments = {**SIZES, "bias": bias, "dropout": 0.1}
    return {"model": weights, "model_args": arguments, "optimizer": {"state": {}}, "iter_num": 7, "config": {"a": 1}}


@pytest.mark.parametrize("prefix", ["", "_orig_mod."])
@pytest.mark.parametrize("bias", [True, False])
def test_logits_are_gpt2s(bias: bool, prefix: str, tmp_path: Path) -> None:
    model = oracle()
    if not bias:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith(".bias"):
                    parameter.zero_()
    said = checkpoint(model, bias, prefix)
    said["model"][f"{prefix}transformer.h.0.attn.bias"] = torch.ones(1, 1, 12, 12)  # a mask, in older files
    if bias:
        said["model"][f"{prefix}transformer.h.0.attn.c_attn.bias"] = model.state_dict()[
            "transformer.h.0.attn.c_attn.bias"
        ]
    torch.save(said, tmp_path / "ckpt.pt")
    read = UNSAFE["nanogpt"].read(tmp_path)
    tokens = torch.arange(10)[None]
    with torch.no_grad():
        found, expected = read.build()(tokens=tokens)["language_model"], model(tokens).logits
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert read.architecture == ("gpt2" if bias else None)
    assert read.config.dropout.residual == 0.1


@pytest.mark.parametrize(
    "changed, told",
    [
        ({"rope": True, "n_kv_head": 2}, r"model_args: rope=True, n_kv_head=2: not known here"),
        ({"dropout": "x"}, r"dropout='x': bias must be true or false, dropout a number from 0 to below 1"),
        ({"dropout": 1.0}, r"dropout=1\.0: bias must be"),
        ({"bias": "no"}, r"bias='no', dropout=0\.1: bias must be"),
    ],
)
def test_arguments_that_are_not_known_or_of_another_kind(changed: dict[str, Any], told: str, tmp_path: Path) -> None:
    said = checkpoint(oracle())
    torch.save({**said, "model_args": said["model_args"] | changed}, tmp_path / "ckpt.pt")
    with pytest.raises(ConfigError, match=told):
        UNSAFE["nanogpt"].read(tmp_path)


def test_the_output_layer_must_be_the_token_table(tmp_path: Path) -> None:
    said = checkpoint(oracle())
    for output, told in (
        (torch.randn(64, 16).double(), r"lm_head\.weight is not transformer\.wte\.weight, .* another model"),
        (torch.randn(3, 3), r"wrong shape: lm_head\.weight is \(3, 3\), not \(64, 16\)"),
    ):
        torch.save({**said, "model": said["model"] | {"lm_head.weight": output}}, tmp_path / "ckpt.pt")
        with pytest.raises(CheckpointError, match=told):
            UNSAFE["nanogpt"].read(tmp_path)
    del said["model"]["lm_head.weight"]
    torch.save(said, tmp_path / "ckpt.pt")
    assert UNSAFE["nanogpt"].read(tmp_path).config.heads["language_model"].tied  # type: ignore[attr-defined]


def test_what_is_no_such_file_is_told(tmp_path: Path) -> None:
    said, path = checkpoint(oracle()), tmp_path / "ckpt.pt"
    read = UNSAFE["nanogpt"].read
    with pytest.raises(CheckpointError, match=r"must be a file or hold one that is called ckpt\.pt"):
        read(tmp_path)
    torch.save({"weights": {}}, path)
    with pytest.raises(CheckpointError, match="must hold model and model_args"):
        read(path)
    torch.save({**said, "model_args": {**said["model_args"], "n_head": 0, "n_embd": "wide"}}, path)
    with pytest.raises(CheckpointError, match="n_head=0, n_embd='wide'"):
        read(path)
    del said["model"]["transformer.ln_f.weight"]
    torch.save(
        {**said, "model": {**said["model"], "odd": torch.ones(1), "transformer.wpe.weight": torch.ones(3, 16)}}, path
    )
    with pytest.raises(CheckpointError) as caught:
        read(path)
    for part in (
        "missing: transformer.ln_f.weight",
        "left over: odd",
        "transformer.wpe.weight is (3, 16), not (12, 16)",
    ):
        assert part in str(caught.value)
