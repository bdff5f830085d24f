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


@pytest.mark.parametrize("losses", [(6.59, 6.56), (6.56, 6.59), (6.5, 6.5), (6.5, 8.0)])
def test_last_values_can_be_read(losses: tuple[float, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They neither cover each other nor run over the frame."""
    from matplotlib import pyplot

    monkeypatch.setattr(pyplot, "close", lambda figure: None)
    rows = ["step,tokens,train/loss,validation/loss", "1,1000,9.0,", f"9,1600000,{losses[0]},{losses[1]}"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows), encoding="utf-8")
    draw_curves([tmp_path] * 3, tmp_path / "curves.png")
    figure = pyplot.gcf()
    for axis in figure.axes:
        one, other = (text.get_window_extent() for text in axis.texts)
        assert not one.overlaps(other)
        assert max(one.x1, other.x1) < axis.get_window_extent().x1
        higher, lower = sorted(axis.texts, key=lambda text: -text.get_window_extent().y0)
        assert float(higher.get_text()) >= float(lower.get_text())


def test_run_without_validation(tmp_path: Path) -> None:
    run = pretrain(tiny_run(tmp_path, "gpt", "data.validation_fraction=0"), tmp_path / "run").folder
    assert draw_curves([run], tmp_path / "curves.png").exists()


def test_folder_without_a_log(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no metrics"):
        draw_curves([tmp_path], tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
