"""People's answers → ages: robust means, and people whose answers do not count.

All functions take `votes`, a table with one row for each face and person that answered: face,
person (strings), age (years; null: none given) and unusable (true: the person says that this is
not a picture of one person's face). The order of its rows does not matter.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NORMAL = 1.4826
"""Standard deviation of a normal distribution in median absolute deviations."""
MAX_DEVIATIONS = 3.0
"""Robust standard deviations from the median beyond which an answer, or a person, is an outlier."""
ALWAYS_COUNTS = 5.0
"""Years from the median within which no answer is an outlier, however well the others agree."""
ALWAYS_CAREFUL = 5.0
"""Years above the others' median spread within which nobody is careless."""
LEAST_SHARED = 10
"""Answers to faces that others answered too, without which nobody is judged."""
SAME, VARIED = 2.0, 6.0
"""Standard deviations in years of somebody who gives one age to all faces (below the first) and of
the others' answers to the same faces (above the second)."""


TALLY = pa.schema(
    [
        ("face", pa.string()),
        ("age", pa.float64()),
        ("deviation", pa.float64()),
        ("votes", pa.int64()),
        ("aside", pa.int64()),
        ("people", pa.int64()),
        ("unusable", pa.int64()),
    ]
)
PEOPLE = pa.schema(
    [
        ("person", pa.string()),
        ("answers", pa.int64()),
        ("bias", pa.float64()),
        ("spread", pa.float64()),
        ("careless", pa.string()),
    ]
)


def counting(ages: np.ndarray) -> np.ndarray:
    """Which answers to a face count: (n,) years → (n,) bool.

    Those that are at most `ALWAYS_COUNTS` years or `MAX_DEVIATIONS` robust standard deviations
    (1.4826 MAD) from the median, whichever is more.
    """
    distance = np.abs(ages - np.median(ages))
    limit = max(ALWAYS_COUNTS, MAX_DEVIATIONS * NORMAL * float(np.median(distance)))
    return np.asarray(distance <= limit)


def tally(votes: pa.Table, careless: Collection[str] = ()) -> pa.Table:
    """The result of the answers to each face, without those of the `careless`.

    Returns:
        A row for each face of `votes`, sorted: face; age, the mean of the answers that count, in
        years, null if there is none; deviation, their sample standard deviation (n − 1), null for
        less than two, which is the label deviation of ChaLearn LAP (Escalera et al., ICCVW 2015);
        votes, how many count; aside, how many are outliers; people, how many answered; unusable,
        how many of those say that the face is unusable.
    """
    rows = []
    for face, answers in _by_face(votes, set(careless)):
        ages = np.array([age for age, unusable in answers if age is not None and not unusable])
        kept = ages[counting(ages)] if len(ages) else ages
        rows.append(
            {
                "face": face,
                "age": float(kept.mean()) if len(kept) else None,
                "deviation": float(kept.std(ddof=1)) if len(kept) > 1 else None,
                "votes": len(kept),
                "aside": len(ages) - len(kept),
                "people": len(answers),
                "unusable": sum(unusable for _, unusable in answers),
            }
        )
    return pa.Table.from_pylist(rows, TALLY)


def agreement(votes: pa.Table) -> float | None:
    """Krippendorff's α for interval data: 1 is agreement, 0 chance; None if it is undefined.

    Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011: observed over expected
    disagreement, which for squared differences are variances: those of the faces with two answers
    or more, weighted by their answers, over that of all these answers. Written so because the
    package `krippendorff` needs memory for faces × ages².
    """
    answers = _Answers.of(votes)
    face = np.unique(answers.face, return_inverse=True)[1]
    number = np.bincount(face)
    paired = number[face] > 1
    ages, face = answers.age[paired], face[paired]
    if not len(ages) or ages.min() == ages.max():
        return None
    mean = np.bincount(face, ages, len(number)) / np.maximum(number, 1)
    within = (ages - mean[face]) ** 2 * (number / np.maximum(number - 1, 1))[face]
    return float(1 - within.mean() / ages.var(ddof=1))


def people(votes: pa.Table) -> pa.Table:
    """How each person answers.

    Returns:
        A row for each person, sorted: person; answers, how many there are; bias and spread, mean
        and sample standard deviation in years of the answers' differences from the mean of the
        other careful people's answers to the same face, null for none or one; careless, null or
        why their answers do not count.

    A person is careless whose spread exceeds the others' median by more than `ALWAYS_CAREFUL` years
    and by more than `MAX_DEVIATIONS` of their robust standard deviations, or who gives nearly the
    same age to all faces although others do not; nobody with less than `LEAST_SHARED` answers to
    faces that others answered too. They are found one by one, the worst first, because each one
    distorts the others' figures.
    """
    answers = _Answers.of(votes)
    careless: dict[str, str] = {}
    while found := _worst(answers, careless):
        careless |= found
    gaps = answers.gaps(careless)
    number = pc.value_counts(votes["person"]).to_pylist()
    rows = []
    for person, count in sorted((row["values"], row["counts"]) for row in number):
        own = gaps[(answers.person == person) & ~np.isnan(gaps)]
        rows.append(
            {
                "person": person,
                "answers": count,
                "bias": float(own.mean()) if len(own) else None,
                "spread": float(own.std(ddof=1)) if len(own) > 1 else None,
                "careless": careless.get(person),
            }
        )
    return pa.Table.from_pylist(rows, PEOPLE)


class _Answers(NamedTuple):
    """The ages that were given, in the order of faces and people."""

    face: np.ndarray
    person: np.ndarray
    age: np.ndarray

    @classmethod
    def of(cls, votes: pa.Table) -> "_Answers":
        given = pc.and_(pc.is_valid(votes["age"]), pc.invert(votes["unusable"]))
        votes = votes.filter(given).sort_by([("face", "ascending"), ("person", "ascending")])
        face, person = (np.array(votes[name].to_pylist(), str) for name in ("face", "person"))
        return cls(face, person, np.array(votes["age"].to_pylist(), float))

    def gaps(self, careless: Collection[str]) -> np.ndarray:
        """Each answer minus the mean of the others' that count, in years; nan if there is none."""
        face = np.unique(self.face, return_inverse=True)[1]
        counts = ~np.isin(self.person, list(careless))
        total, number = np.bincount(face, self.age * counts), np.bincount(face, counts)
        with np.errstate(invalid="ignore"):  # 0 / 0 where nobody else answered
            others = (total[face] - self.age * counts) / (number[face] - counts)
        return np.asarray(np.where(number[face] > counts, self.age - others, np.nan))


def _worst(answers: _Answers, careless: Collection[str]) -> dict[str, str]:
    """The most careless person besides those already known, and why; empty if there is none."""
    gaps = answers.gaps(careless)
    shared = ~np.isnan(gaps) & ~np.isin(answers.person, list(careless))
    own = {p: shared & (answers.person == p) for p in np.unique(answers.person[shared]).tolist()}
    own = {person: mask for person, mask in own.items() if mask.sum() >= LEAST_SHARED}
    spread = {person: float(gaps[mask].std(ddof=1)) for person, mask in own.items()}
    excess = {person: spread[person] - _limit(spread, person) for person in spread}
    worst = [max(excess, key=excess.__getitem__)] if max(excess.values(), default=0.0) > 0 else []
    for person in worst or own:
        age, varied = answers.age[own[person]], (answers.age - gaps)[own[person]].std(ddof=1)
        if age.std(ddof=1) < SAME and varied > VARIED:
            why = f"says {age.mean():.0f} for nearly all faces, others vary by {varied:.1f} years"
            return {person: why}
    return {person: f"differs by {spread[person]:.1f} years from the others" for person in worst}


def _limit(spread: dict[str, float], person: str) -> float:
    """The spread that a person may have, given the others'; infinite if there are none."""
    others = np.array([value for other, value in spread.items() if other != person])
    if not len(others):
        return float("inf")
    middle = np.median(others)
    robust = MAX_DEVIATIONS * NORMAL * np.median(np.abs(others - middle))
    return float(middle + max(ALWAYS_CAREFUL, robust))


def _by_face(
    votes: pa.Table, careless: set[str]
) -> list[tuple[str, list[tuple[float | None, bool]]]]:
    """The answers to each face, (age, unusable), in the order of people."""
    votes = votes.select(["face", "person", "age", "unusable"])
    faces: dict[str, list[tuple[float | None, bool]]] = {}
    for face, person, age, unusable in sorted(
        zip(*(column.to_pylist() for column in votes.columns), strict=True),
        key=lambda row: row[:2],
    ):
        answers = faces.setdefault(face, [])
        if person not in careless:
            answers.append((age, unusable))
    return list(faces.items())
