"""What is known of a model is gathered from its folder and its run, and said on a page."""

import json
from pathlib import Path

import pytest

import zoo
from tests.generation.tiny import pretrained
from tests.test_loading import save_step
from zoo.card import Opened, gather, page
from zoo.checkpoint.model import read_card

LOG = """step,tokens,seconds,train/loss,validation/loss,validation/causal_lm/accuracy
2,100,1.5,5.0,,
4,200,3.0,4.0,3.9,0.2
6,300,4.5,3.5,3.2,0.3
8,400,6.0,3.0,3.6,0.35
"""
CONFIG = """name: small
seed: 3
objectives: {causal_lm: {kind: causal_lm}}
optimizer: {kind: adamw, learning_rate: 0.001, weight_decay: 0.1, betas: [0.9, 0.95]}
schedule: {kind: cosine}
trainer: {max_steps: 8, max_tokens: null}
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with two checkpoints and what training leaves beside them."""
    folder = tmp_path / "small"
    for step in (6, 8):
        save_step(folder, step, pretrained("decoder"))
    (folder / "metrics.csv").write_text(LOG)
    (folder / "config.yaml").write_text(CONFIG)
    text = {"fingerprint": "abc123", "training": {"documents": 48, "tokens": 934, "lengths": [1]}, "sources": {}}
    (folder / "data.json").write_text(json.dumps(text))
    return folder


def test_a_run_tells_how_its_model_was_trained(run: Path) -> None:
    facts = gather(run / "checkpoints" / "step-8" / "model")
    assert facts["training"]["step"] == 8
    assert facts["training"]["tokens"] == 400
    assert facts["training"]["budget"] == {"max_steps": 8}
    assert facts["training"]["optimizer"] == {"kind": "adamw", "learning_rate": 0.001, "weight_decay": 0.1}
    assert facts["data"] == {"fingerprint": "abc123", "training": {"documents": 48, "tokens": 934}, "sources": {}}
    assert facts["evaluation"]["last"] == {"loss": 3.6, "causal_lm/accuracy": 0.35}
    assert facts["evaluation"]["best"] == {"loss": 3.2, "step": 6}


def test_an_older_step_tells_nothing_of_later_ones(run: Path) -> None:
    facts = gather(run / "checkpoints" / "step-6" / "model")
    assert facts["training"]["tokens"] == 300
    assert facts["evaluation"]["last"]["loss"] == 3.2


def test_what_is_known_goes_along(run: Path, tmp_path: Path) -> None:
    zoo.save(zoo.load(run), tmp_path / "saved")
    zoo.save(zoo.load(tmp_path / "saved"), tmp_path / "again")
    assert read_card(tmp_path / "again") == gather(run / "checkpoints" / "step-8")
    for folder in ("saved", "again"):
        text = (tmp_path / folder / "README.md").read_text()
        for part in (f"# {folder}", "abc123", "934 tokens", "kind adamw", "max_steps 8", "| validation loss | 3.6 |"):
            assert part in text
        assert "best validation loss | 3.2 (step 6)" in text


def test_nothing_known_is_said_to_be_unknown(tmp_path: Path) -> None:
    assert gather(None) == {}
    assert gather(tmp_path) == {}
    save_step(tmp_path / "run", 1, pretrained("decoder"))
    assert gather(tmp_path / "run" / "checkpoints" / "step-1") == {}
    model = pretrained("encoder")
    text = page("name", model.model, None, {}, Opened("model = zoo.load(folder)", "BertForMaskedLM"))
    assert text.count("Not recorded.") == 3
    assert "library_name: transformers" in text
    assert "BertForMaskedLM.from_pretrained(folder)" in text
    assert "AutoTokenizer" not in text
    assert f"| parameters | {model.model.num_parameters:,} |" in text


def test_the_page_opens_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo.save(pretrained("decoder"), tmp_path / "saved")
    code = (tmp_path / "saved" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(code, names)  # our own page
    assert isinstance(names["model"], zoo.Pretrained)
