from collections import Counter
from decimal import Decimal

import pytest

from wrinkle.errors import WrinkleError
from wrinkle.protocols import get_protocol
from wrinkle.report.published import (
    METRICS,
    published,
    published_by_protocol,
    read_figures,
)

RANGES = {"mae": (1, 10), "cs5": (10, 100), "epsilon": (0.1, 0.5)}
TESTED = {"MORPH II": "morph2", "FG-NET": "fgnet", "CACD": "cacd", "ChaLearn LAP 2015": "lap2015"}


@pytest.mark.parametrize("line", read_figures(), ids=lambda line: " ".join(line.values()))
def test_every_figure_is_complete(line: dict[str, str]) -> None:
    assert None not in line
    assert None not in line.values()
    assert all(line[field] for field in ("method", "dataset", "paper", "where"))
    assert all(cell == cell.strip() for cell in line.values())
    assert line["metric"] in METRICS
    low, high = RANGES[line["metric"]]
    assert low < float(line["value"]) < high
    for name in line["protocols"].split():
        assert get_protocol(name).dataset == TESTED[line["dataset"]]


def test_no_figure_occurs_twice() -> None:
    lines = read_figures()
    counts = Counter(
        tuple(
            line[field] for field in ("method", "dataset", "protocols", "metric", "start", "note")
        )
        for line in lines
    )
    assert max(counts.values()) == 1
    assert len(published()) < len(lines)  # the figures of one method are one row


@pytest.mark.parametrize(
    ("protocol", "method", "start", "value"),
    [
        ("fgnet-lopo", "Res18+EX", "ImageNet", "4.260"),
        ("fgnet-lopo", "DHAA", "ImageNet", "3.721"),
        ("fgnet-lopo", "DHAA", "IMDB-WIKI", "2.595"),
        ("fgnet-lopo", "Res18+EX", "IMDB-WIKI", "2.977"),
        ("morph2-random", "DHAA", "ImageNet", "1.908"),
        ("morph2-80-20-shared:3", "SSR-Net (Yang et al., 2018)", "IMDB-WIKI", "2.52"),
        ("morph2-partial", "DHAA", "ImageNet", "2.487"),
        ("morph2-s1-s2-s3", "CasCNN (Wan et al., 2018)", "", "2.93"),
        ("cacd-test-120", "DRFs (Shen et al., 2018)", "", "4.637"),
    ],
)
def test_figures_keep_the_printed_digits(
    protocol: str, method: str, start: str, value: str
) -> None:
    (row,) = [r for r in published(protocol) if (r.method, r.start) == (method, start)]
    assert str(row.mae) == value
    assert row.epsilon is None


def test_test_and_validation_parts_are_distinguished() -> None:
    (tested,) = [row for row in published("lap-2015") if row.method == "DHAA"]
    assert (tested.mae, tested.epsilon) == (None, Decimal("0.252"))
    rows = [row for row in published() if row.method == "DHAA" and "LAP" in row.dataset]
    (validated,) = [row for row in rows if not row.protocols]
    assert (validated.mae, validated.epsilon) == (Decimal("3.052"), Decimal("0.265"))
    assert "validation" in validated.note


def test_the_best_figure_is_first() -> None:
    maes = [row.mae for row in published("fgnet-lopo")]
    assert maes == sorted(maes)
    errors = [row.epsilon for row in published("lap-2015")]
    assert errors == sorted(errors)


def test_figures_are_grouped_by_protocol() -> None:
    every = published_by_protocol()
    assert sum(map(len, every)) == len(published())
    assert all(len({(row.dataset, row.protocols) for row in group}) == 1 for group in every)
    ((first, *_),) = published_by_protocol(["morph2-random", "morph2-80-20-shared"])
    assert first.protocols == ("morph2-80-20-shared", "morph2-random")
    with pytest.raises(WrinkleError, match=r"'utkface'.*lap-2015"):
        published_by_protocol(["fgnet-lopo", "utkface"])
