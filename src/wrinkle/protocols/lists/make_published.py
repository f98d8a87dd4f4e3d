"""Packs the published lists:  python -m wrinkle.protocols.lists.make_published PUBLISHED [OUT]

PUBLISHED has the files as their authors give them (docs/protocols.md says from where):

    morph2/photos.csv                    photo, subject, gender, race, age
    morph2/{random,dex}_{train,test}.txt, morph2/agr_{s1,s2_s3,s1_s3}.txt
    morph2/coral_{train,valid,test}.txt  names, one in each line
    agemeta/celebrity2000_meta.mat       CACD's list: names and ranks (read with SciPy)
    coral_cnn/cacd_{train,valid,test}.csv, coral_cnn/afad_{valid,test}.csv
    agedb.csv                            age, path, split

MORPH II's S3 is agr_s1_s3 without agr_s1, and S2 is agr_s2_s3 without S3. The published agr_s2 is
not used: half of it (5,310 of 10,590) is in S1, and so in its own test part.
"""

import csv
import sys
from pathlib import Path
from typing import TypeVar

from wrinkle.protocols import afad, agedb, cacd, morph2
from wrinkle.protocols.split_lists import columns_text, write_list

Name = tuple[str, str]
T = TypeVar("T")


def morph2_text(folder: Path) -> str:
    """Columns of MORPH II: the group, and a letter for the part in each published split.

    Groups are W, B, "-" for others, "." for a picture that only CORAL lists.
    """

    def listed(file: str) -> set[Name]:
        lines = (folder / f"{file}.txt").read_text(encoding="ascii").split()
        return {_halves(line, "_") for line in lines}

    photos = {_halves(row["photo"], "_"): row["race"] for row in _csv(folder / "photos.csv")}
    coral = _letters(t=listed("coral_train"), v=listed("coral_valid"), e=listed("coral_test"))
    first = listed("agr_s1")
    third = listed("agr_s1_s3") - first
    second = listed("agr_s2_s3") - third
    return columns_text(
        photos | coral,
        {
            "group": {name: race for name, race in photos.items() if race in "BW"}
            | dict.fromkeys(coral.keys() - photos, "."),
            "random": _letters(t=listed("random_train"), e=listed("random_test")),
            "partial": _letters(t=listed("dex_train"), e=listed("dex_test")),
            "s1-s2-s3": dict.fromkeys(first, "1")
            | dict.fromkeys(second, "2")
            | dict.fromkeys(third, "3"),
            "coral": coral,
        },
    )


def afad_text(folder: Path) -> str:
    """Columns of AFAD: the part of each picture that validates or tests in CORAL's split."""

    def listed(file: str) -> set[Name]:
        return {_halves(row["path"], "/") for row in _csv(folder / f"{file}.csv")}

    letters = _letters(v=listed("afad_valid"), e=listed("afad_test"))
    return columns_text(letters, {"coral": letters})


def agedb_text(file: Path) -> str:
    """A column without names: the letter of picture 0, 1, … in the split of AgeDB-DIR."""
    letters = {"train": "t", "val": "v", "test": "e"}
    rows = {int(Path(row["path"]).name.split("_")[0]): letters[row["split"]] for row in _csv(file)}
    return f"# dir\n{''.join(rows[number] for number in range(len(rows)))}\n"


def cacd_text(meta: Path, folder: Path) -> str:
    """A line for each celebrity: name, rank, and the pictures by age; see `cacd.pictures`."""
    from scipy.io import loadmat

    def listed(part: str) -> set[str]:
        return {row["file"] for row in _csv(folder / f"cacd_{part}.csv")}

    coral = _letters(t=listed("train"), v=listed("valid"), e=listed("test"))
    data = loadmat(meta, squeeze_me=True)["celebrityImageData"]
    lines: dict[str, dict[str, dict[int, str]]] = {}
    for name, rank in zip(data["name"].item(), data["rank"].item(), strict=True):
        age, _, rest = name.partition("_")
        celebrity, _, number = rest.removesuffix(".jpg").rpartition("_")
        ages = lines.setdefault(f"{celebrity} {rank}", {})
        ages.setdefault(age, {})[int(number)] = coral.get(name, "-")
    return "".join(
        " ".join([line, *(f"{age}{_row(ages[age])}" for age in sorted(ages))]) + "\n"
        for line, ages in sorted(lines.items())
    )


def main(published: str, out: str | None = None) -> None:
    """Write the lists to the folder `out` (default: into the package) and print checksums."""
    root = Path(published)
    to = Path(out) if out else Path(__file__).parent
    texts = {
        morph2.LIST: morph2_text(root / "morph2"),
        cacd.LIST: cacd_text(root / "agemeta" / "celebrity2000_meta.mat", root / "coral_cnn"),
        afad.LIST: afad_text(root / "coral_cnn"),
        agedb.LIST: agedb_text(root / "agedb.csv"),
    }
    for name, text in texts.items():
        checksum = write_list(to / name, text)
        print(f"{name}: {(to / name).stat().st_size:,} bytes, CHECKSUM = {checksum!r}")


def _csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _halves(name: str, between: str) -> Name:
    """Stem and ending of a name, without the part after its dot."""
    stem, _, ending = name.partition(".")[0].rpartition(between)
    return stem, ending


def _letters(**parts: set[T]) -> dict[T, str]:
    """Name → the letter of the part that has it."""
    return {name: letter for letter, names in parts.items() for name in names}


def _row(letters: dict[int, str]) -> str:
    """The letters of numbers 1, 2, …; "." where there is no such number."""
    return "".join(letters.get(number, ".") for number in range(1, max(letters) + 1))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m wrinkle.protocols.lists.make_published PUBLISHED [OUT]")
    main(*sys.argv[1:])
