"""Published figures, from published.csv: one line per figure, with paper and table.

A figure is as the named paper prints it, also where that paper quotes another one. Figures that
could not be read with certainty are left out.
"""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files

from wrinkle.errors import WrinkleError

METRICS = ("mae", "cs5", "epsilon")
"""Years, per cent, and ChaLearn LAP's ε-error in [0, 1]."""


@dataclass(frozen=True)
class Published:
    """What one table gives for one method under one protocol.

    Attributes:
        protocols: wrinkle's protocols that correspond, often none.
        start: data of earlier training, "" where the table does not say.
        paper, where: the source.
        mae: years, with the printed digits; None: not printed. The same holds for the others.
        cs5: per cent.
        epsilon: ε-error in [0, 1].
    """

    method: str
    dataset: str
    protocols: tuple[str, ...]
    start: str
    paper: str
    where: str
    note: str
    mae: Decimal | None = None
    cs5: Decimal | None = None
    epsilon: Decimal | None = None


def read_figures() -> list[dict[str, str]]:
    """The lines of published.csv: column → cell."""
    text = (files("wrinkle.report") / "published.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def published(protocol: str | None = None) -> list[Published]:
    """Figures under a protocol, or all; within each dataset and protocol the best first.

    Args:
        protocol: its arguments, as in "morph2-80-20-shared:3", make no difference.
    """
    name = None if protocol is None else protocol.partition(":")[0]
    rows: dict[tuple[str, ...], dict[str, Decimal]] = {}
    for line in read_figures():
        if name is None or name in line["protocols"].split():
            metric, value = line.pop("metric"), line.pop("value")
            rows.setdefault(tuple(line.values()), {})[metric] = Decimal(value)
    found = [_published(key, figures) for key, figures in rows.items()]
    groups = list(dict.fromkeys((row.dataset, row.protocols) for row in found))
    return sorted(found, key=lambda row: (groups.index((row.dataset, row.protocols)), _rank(row)))


def published_by_protocol(protocols: Iterable[str] = ()) -> list[list[Published]]:
    """`published` in groups of one dataset and one set of protocols: those of `protocols`, or all.

    Raises:
        WrinkleError: there are no figures under one of the protocols.
    """
    names = list(protocols)
    known = sorted({name for row in published() for name in row.protocols})
    for name in names:
        if not published(name):
            raise WrinkleError(
                f"no published figures under {name!r}; choices: {', '.join(known)}, or no name for "
                "all of them"
            )
    rows = [row for name in names for row in published(name)] if names else published()
    groups: dict[tuple[str, tuple[str, ...]], list[Published]] = {}
    for row in dict.fromkeys(rows):
        groups.setdefault((row.dataset, row.protocols), []).append(row)
    return list(groups.values())


def _published(key: tuple[str, ...], figures: dict[str, Decimal]) -> Published:
    method, dataset, protocols, start, paper, where, note = key
    return Published(
        method, dataset, tuple(protocols.split()), start, paper, where, note, **figures
    )


def _rank(row: Published) -> tuple[Decimal, ...]:
    """By MAE, then by ε-error; figures that are not printed come last."""
    last = Decimal("Infinity")
    return tuple(last if value is None else value for value in (row.mae, row.epsilon))
