"""The slope that tells what grows from what only warms up."""

import pytest

from infra.load.soak import Sample, figures, slope


def test_a_line_has_its_slope_per_hundred_thousand():
    assert slope([(0, 50), (100_000, 53), (200_000, 56)]) == pytest.approx(3)


def test_a_flat_series_and_a_single_point_have_none():
    assert slope([(0, 50), (10, 50)]) == 0
    assert slope([(5, 50)]) == 0
    assert slope([]) == 0


def test_only_the_later_half_decides_whether_memory_grows():
    heights = [10, 60, 90, 100, 100, 100, 100, 100]
    samples = [
        Sample(sent=n * 1_000, values={"workers' memory": float(height)})
        for n, height in enumerate(heights)
    ]
    lines = {figure.name: figure for figure in figures(samples)}
    assert lines["workers' memory, first"].ours == 10
    assert lines["workers' memory, highest"].ours == 100
    assert lines["workers' memory, slope"].ours == 0
    assert lines["workers' memory, slope"].is_reached is True
