"""The estimate of a large model's SAE: its arithmetic, and that the page shows what it prints."""

from pathlib import Path

from benchmarks import estimate


def test_the_parameters_are_those_of_the_technical_report():
    norms = estimate.LAYERS * 4 * estimate.D_MODEL + estimate.D_MODEL
    assert estimate.LAYERS * estimate.block_parameters() + norms == 8_324_201_984


def test_hours_follow_from_operations_and_peaks():
    harvest, sparse, dense, *_ = estimate.rows(1)
    assert harvest.amount == 2 * 198_180_864 * 21 * 10**9
    assert round(harvest.seconds) == round(harvest.amount / (0.4 * 989.4e12))
    assert sparse.amount == (2 * 3584 * 131_072 + 10 * 3584 * 64) * 10**9
    assert dense.amount == 6 * 2 * 3584 * 131_072 * 10**9


def test_one_worker_has_nothing_to_send():
    *_, alone = estimate.rows(1)
    *_, eighth = estimate.rows(8)
    assert alone.amount == 0
    assert eighth.amount == 1.75 * estimate.bytes_a_step() * 10**9 / 4096


def test_the_page_shows_the_table():
    page = Path(__file__).parents[2] / "docs" / "scaling.md"
    assert estimate.table() in page.read_text(), "python -m benchmarks.estimate"
