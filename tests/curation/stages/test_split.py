from collections import Counter
from pathlib import Path

import daft
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.curation.workspaces import Picture, collected, labelled, some
from wrinkle.curation.config import Split
from wrinkle.curation.stages.split import SHARE, draw, persons, split
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError

GROUPS = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 7), max_size=12)


def parts(workspace: Workspace) -> dict[str, str]:
    rows = workspace.table("split").to_pylist()
    return {row["face"]: row["part"] for row in rows}


def possible(sizes: list[int]) -> set[int]:
    """All numbers of rows that some of the groups hold."""
    sums = {0}
    for size in sizes:
        sums |= {size + each for each in sums}
    return sums


@given(GROUPS, st.integers(0, 30), st.integers(0, 3), st.randoms())
def test_the_largest_number_that_groups_allow_is_drawn(sizes, count, seed, random) -> None:
    keys = [key for key, size in sizes.items() for _ in range(size)]
    drawn = draw(keys, count, seed)
    held = sum(sizes[key] for key in drawn)
    assert held == max(each for each in possible(list(sizes.values())) if each <= count)
    random.shuffle(keys)
    assert draw(keys, count, seed) == drawn


def test_the_draw_is_fair_and_depends_on_the_seed() -> None:
    keys = [f"k{number}" for number in range(10)]
    drawn = [draw(keys, 3, seed) for seed in range(600)]
    counts = Counter(key for each in drawn for key in each)
    assert all(130 < counts[key] < 230 for key in keys), counts  # 180 are expected of each


def test_hundreds_of_thousands_are_drawn_in_little_memory() -> None:
    keys = [f"k{number}" for number in range(125_000)]
    assert len(draw(keys, 20_000, 0)) == 20_000


def test_the_exact_number_and_no_picture_in_both_parts(tmp_path: Path) -> None:
    group = [Picture("family", (3.0, 30.0, 33.0)), Picture("two", (40.0, 50.0))]
    workspace = labelled(tmp_path / "ws", [*some(7), *group])
    for test in (1, 5, 11):
        split(workspace, False, Split(test=test), 0)
        drawn = parts(workspace)
        assert Counter(drawn.values()) == {"test": test, "train": 12 - test}
        for picture in group:
            assert len({drawn[f"{picture.digest}-{n}"] for n in range(len(picture.ages))}) == 1
    table = workspace.table("split").to_pylist()
    assert {row["age"] for row in table} == {*range(2, 9), 4.0, 31.0, 34.0, 41.0, 51.0}
    assert {row["age_deviation"] for row in table} == {None}


def test_known_people_stay_together(tmp_path: Path) -> None:
    people = [Picture(f"{who}{k}", person=who) for who in ("ann", "bob", "cy") for k in range(4)]
    workspace = labelled(tmp_path, [*people, *some(5)])
    for seed in range(5):
        split(workspace, False, Split(test=6, by="person"), seed)
        drawn = parts(workspace)
        assert Counter(drawn.values())["test"] == 6
        for who in ("ann", "bob", "cy"):
            assert len({drawn[p.face] for p in people if p.person == who}) == 1
    apart = set()
    for seed in range(5):
        split(workspace, False, Split(test=6), seed)
        drawn = parts(workspace)
        apart |= {
            who for who in "ab" if len({drawn[p.face] for p in people if p.name[0] == who}) > 1
        }
    assert apart == {"a", "b"}


def test_a_person_is_known_only_if_sources_agree(tmp_path: Path) -> None:
    same = b"one picture at two places"
    workspace = labelled(
        tmp_path,
        [
            Picture("sure", person="ann"),
            Picture("agreed", person="bob", data=same),
            Picture("agreed-too", person="bob", data=same),
            Picture("silent", data=same),
            Picture("one", person="ann", data=b"disagree"),
            Picture("other", person="cy", data=b"disagree"),
            Picture("again", person="dan", url="https://example.org/x.jpg"),
            Picture("again", person="eve", url="https://EXAMPLE.org:443/x.jpg#y"),
            Picture("family", (3.0, 30.0), person="fay"),
            Picture("unknown"),
        ],
    )
    frame = persons(workspace)
    assert frame is not None
    known = {row["picture"]: row["person"] for row in frame.to_pylist()}
    assert known == {Picture("sure").digest: "ann", Picture("", data=same).digest: "bob"}


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    pictures = [*some(12), *(Picture(f"ann{k}", person="ann") for k in range(3))]
    one = labelled(tmp_path / "one", pictures)
    other = labelled(tmp_path / "other", pictures[::-1])
    for stage in ("faces", "coarse_label"):
        table = other.table(stage)
        other.replace(stage, daft.from_arrow(table.take(list(range(len(table)))[::-1])))
    for by in ("face", "person"):
        for workspace in (one, other):
            split(workspace, False, Split(test=4, by=by), 3)
        assert one.table("split").equals(other.table("split"))


def test_the_default_share_is_drawn(tmp_path: Path) -> None:
    assert round(SHARE, 4) == 0.1601
    workspace = labelled(tmp_path, some(25))
    split(workspace, False, Split(), 0)
    assert Counter(parts(workspace).values()) == {"test": 4, "train": 21}


def test_ages_from_people_are_used_if_there_are_any(tmp_path: Path) -> None:
    pictures = some(4)
    workspace = labelled(tmp_path, pictures)
    refined = [
        {
            "face": p.face,
            "age": 50.0 + k,
            "deviation": 1.5,
            "dropped": "disagreement" if k == 3 else None,
        }
        for k, p in enumerate(pictures)
    ]
    workspace.replace("refine", daft.from_pylist(refined))
    split(workspace, True, Split(test=1), 0)
    rows = {
        row["face"]: (row["age"], row["age_deviation"])
        for row in workspace.table("split").to_pylist()
    }
    assert rows == {p.face: (50.0 + k, 1.5) for k, p in enumerate(pictures[:3])}


@pytest.mark.parametrize(
    ("pictures", "test", "said"),
    [
        (some(3), 3, "split.test is 3, but only 3 faces have ages: make it smaller"),
        (some(1), None, r"the faces with ages \(1\) cannot be split"),
        ([Picture("family", (3.0, 30.0, 33.0))], 1, "those of a picture stay together"),
        ([Picture("blind", (None,)), Picture("empty", ())], None, r"faces with ages \(0\)"),
    ],
)
def test_too_few_faces_are_one_line(tmp_path: Path, pictures, test, said: str) -> None:
    workspace = labelled(tmp_path, pictures)
    with pytest.raises(WrinkleError, match=said) as error:
        split(workspace, False, Split(test=test), 0)
    assert "\n" not in str(error.value)
    assert not workspace.parts("split")


def test_a_split_needs_labels(tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match=r"no faces in .* have ages yet"):
        split(collected(tmp_path, some(2)), False, Split(test=1), 0)
