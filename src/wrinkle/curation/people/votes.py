"""People's answers → ages: what the answers to a face come to, and whose answers do not count.

Everything here takes `votes`, a table with one row for each face and person that answered: face,
person (strings), age (years; null: none given) and unusable (true: the person says that this is
no picture of one person's face). The order of its rows does not matter.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NORMAL = 1.4826
"""Standard deviation of a normal distribution in median absolute deviations."""
FAR = 3.0
"""Robust standard deviations from the median beyond which an answer, or a person, is far off."""
APART = 5.0
"""Years from the median within which no answer is far off, however well the others agree."""
STRAY = 5.0
"""Years above the others' median spread within which nobody is careless."""
SHARED = 10
"""Answers to faces that others answered too that a person is judged by, at least."""
SAME, VARIED = 2.0, 6.0
"""Standard deviations in years: one age for everybody is below the first, others above the second.
"""


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

    Those that are at most `APART` years or `FAR` robust standard deviations (1.4826 MAD) from the
    median, whichever is more.
    """
    apart = np.abs(ages - np.median(ages))
    return apart <= max(APART, FAR * NORMAL * float(np.median(apart)))


def tally(votes: pa.Table, careless: Collection[str] = ()) -> pa.Table:
    """What the answers to each face come to, those of the `careless` left out.

    Returns:
        A row for each face of `votes`, sorted: face; age, the mean of the answers that count, in
        years, null where there is none; deviation, their sample standard deviation (n − 1), null
        for less than two, which is the label deviation of ChaLearn LAP (Escalera et al., ICCVW
        2015); votes, how many count; aside, how many are too far off to count; people, how many
        answered; unusable, how many of those say that the face is unusable.
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
    """Krippendorff's α for interval data: 1 is agreement, 0 chance; None where it is undefined.

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
        and sample standard deviation in years of what an answer is above the mean of the others'
        answers to the same face, careless ones left out, null where there is none or just one;
        careless, null or why their answers do not count.

    Careless is whose spread exceeds the others' median by more than `STRAY` years and by more
    than `FAR` of their robust standard deviations, or who gives everybody nearly the same age
    where others do not; nobody with less than `SHARED` answers to faces that others answered too.
    They are found one by one, the worst first, since one of them spoils the others' figures.
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
        """Years of an answer above the mean of the others' that count; nan where there is none."""
        face = np.unique(self.face, return_inverse=True)[1]
        counts = ~np.isin(self.person, list(careless))
        total, number = np.bincount(face, self.age * counts), np.bincount(face, counts)
        with np.errstate(invalid="ignore"):  # 0 / 0 where nobody else answered
            others = (total[face] - self.age * counts) / (number[face] - counts)
        return np.where(number[face] > counts, self.age - others, np.nan)


def _worst(answers: _Answers, careless: Collection[str]) -> dict[str, str]:
    """The worst of those who are careless beside those who are known to be, and why."""
    gaps = answers.gaps(careless)
    shared = ~np.isnan(gaps) & ~np.isin(answers.person, list(careless))
    own = {p: shared & (answers.person == p) for p in np.unique(answers.person[shared]).tolist()}
    own = {person: mask for person, mask in own.items() if mask.sum() >= SHARED}
    spread = {person: float(gaps[mask].std(ddof=1)) for person, mask in own.items()}
    excess = {person: spread[person] - _limit(spread, person) for person in spread}
    stray = [max(excess, key=excess.__getitem__)] if max(excess.values(), default=0.0) > 0 else []
    for person in stray or own:
        age, varied = answers.age[own[person]], (answers.age - gaps)[own[person]].std(ddof=1)
        if age.std(ddof=1) < SAME and varied > VARIED:
            said = f"says {age.mean():.0f} of nearly everybody, others vary by {varied:.1f} years"
            return {person: said}
    return {person: f"strays {spread[person]:.1f} years from the others" for person in stray}


def _limit(spread: dict[str, float], person: str) -> float:
    """The spread that a person may have beside the others; infinite where there are none."""
    others = np.array([value for other, value in spread.items() if other != person])
    if not len(others):
        return float("inf")
    middle = np.median(others)
    apart = FAR * NORMAL * np.median(np.abs(others - middle))
    return float(middle + max(STRAY, apart))


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
