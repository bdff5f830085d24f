"""Smoothing and thinning."""

import numpy as np

from zoo.report.series import FEWEST_TO_SMOOTH, Series, smooth, thin


def test_smoothing_keeps_a_constant_and_takes_noise_away() -> None:
    np.testing.assert_allclose(smooth(np.full(100, 3.0)), 3.0)
    noisy = 5 + np.random.default_rng(0).normal(size=2000)
    smoothed = smooth(noisy)
    assert smoothed is not None
    assert smoothed[500:].std() < 0.3 * noisy.std()
    assert smoothed[0] == noisy[0], "nothing pulls the start towards 0"


def test_short_curves_are_shown_as_they_are() -> None:
    assert smooth(np.arange(FEWEST_TO_SMOOTH - 1.0)) is None


def test_thinning_keeps_ends_and_spikes() -> None:
    values = np.zeros(10_000)
    values[4321], values[777] = 50.0, -50.0
    kept = thin(values, 100)
    assert len(kept) <= 102
    assert {0, 777, 4321, 9999} <= set(kept.tolist())
    assert (np.diff(kept) > 0).all()


def test_short_curves_are_not_thinned() -> None:
    assert thin(np.arange(7.0), 400).tolist() == list(range(7))


def test_some_points() -> None:
    series = Series("a", 0, {"steps": np.arange(5)}, np.arange(5) ** 2).only(np.array([1, 3]))
    assert (series.x["steps"].tolist(), series.y.tolist()) == ([1, 3], [1, 9])
