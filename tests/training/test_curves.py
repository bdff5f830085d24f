"""The loss curves in one picture."""

from pathlib import Path

import pytest

from tests.training.tiny import tiny_run
from zoo.errors import CheckpointError
from zoo.training.curves import draw_curves
from zoo.training.run import pretrain


def test_one_panel_a_run_with_both_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "close", lambda figure: None)
    folders = [
        pretrain(tiny_run(tmp_path, kind, "trainer.validate_every=2"), tmp_path / kind).folder
        for kind in ("bert", "gpt")
    ]
    picture = draw_curves(folders, tmp_path / "deep" / "curves.png")
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    axes = pyplot.gcf().axes
    assert [axis.get_title() for axis in axes] == ["bert", "gpt"]
    for axis in axes:
        lengths = {line.get_label(): len(line.get_xdata()) for line in axis.lines}
        assert lengths == {"training": 4, "validation": 2}
        assert axis.get_xlabel() == "tokens"


def test_run_without_validation(tmp_path: Path) -> None:
    run = pretrain(tiny_run(tmp_path, "gpt", "data.validation_fraction=0"), tmp_path / "run").folder
    assert draw_curves([run], tmp_path / "curves.png").exists()


def test_folder_without_a_log(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no metrics"):
        draw_curves([tmp_path], tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
