from pathlib import Path

import pyarrow as pa
import pytest

from wrinkle.datasets.readers.adience import Adience
from wrinkle.errors import WrinkleError
from wrinkle.protocols import get_protocol

HEAD = "user_id\toriginal_image\tface_id\tage\tgender\tx\n"


def _write(root: Path, lines: dict[int, list[str]], folder: str = "faces") -> Path:
    start = {"faces": "coarse_tilt_aligned_face", "aligned": "landmark_aligned_face"}[folder]
    for fold, rows in lines.items():
        text = HEAD
        for row in rows:
            user, picture, face, *_ = row.split("|")
            (root / folder / user).mkdir(parents=True, exist_ok=True)
            (root / folder / user / f"{start}.{face}.{picture}").write_bytes(b"picture")
            text += row.replace("|", "\t") + "\t0\n"
        (root / f"fold_{fold}_data.txt").write_text(text)
    return root


@pytest.mark.parametrize("folder", ["faces", "aligned"])
def test_labels_by_hand(tmp_path: Path, folder: str) -> None:
    lines = {
        0: ["7@N1|a_o.jpg|1|(25, 32)|f", "7@N1|a_o.jpg|2|35|m", "8@N1|b_o.jpg|3|None|u"],
        3: ["9@N1|c_o.jpg|4|(60, 100)|u", "9@N1|d_o.jpg|5|(32, 25)|"],
    }
    rows, dropped = Adience().read(_write(tmp_path, lines, folder))
    assert [(r.name, r.age, r.age_low, r.age_high, r.gender, r.person) for r in rows] == [
        ("fold_0/7@N1/1.a_o.jpg", None, 25, 32, "female", "7@N1"),
        ("fold_0/7@N1/2.a_o.jpg", 35, None, None, "male", "7@N1"),
        ("fold_3/9@N1/4.c_o.jpg", None, 60, 100, None, "9@N1"),
    ]
    assert [(d.name, d.reason) for d in dropped] == [
        ("fold_0/8@N1/3.b_o.jpg", "no age"),
        ("fold_3/9@N1/5.d_o.jpg", "impossible age"),
    ]
    assert "fold_3_data.txt, line 3: '(32, 25)'" in dropped[1].detail


def test_errors_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match="is not Adience: expected fold_0_data"):
        Adience().read(tmp_path)
    (tmp_path / "fold_0_data.txt").write_text(HEAD + "u\tp.jpg\t1\t(0, 2)\tm\t0\n")
    with pytest.raises(WrinkleError, match="no pictures: unpack faces"):
        Adience().read(tmp_path)
    (tmp_path / "faces").mkdir()
    assert [d.reason for d in Adience().read(tmp_path)[1]] == ["no such picture"]
    (tmp_path / "fold_0_data.txt").write_text("user_id\tage\nu\t3\n")
    with pytest.raises(WrinkleError, match="fold_0_data"):
        Adience().read(tmp_path)


def test_the_protocol_has_the_owners_folds() -> None:
    names = [f"fold_{k % 5}/u{k % 50}/{k}.jpg" for k in range(200)]
    table = pa.table(
        {
            "name": names,
            "person": [name.split("/")[1] for name in names],
            "digest": [str(k) for k in range(200)],
        }
    )
    folds = get_protocol("adience").folds(table)
    assert [fold.name for fold in folds] == list("01234")
    for number, fold in enumerate(folds):
        assert all(names[row].startswith(f"fold_{number}/") for row in fold.test)
        assert (len(fold.train), len(fold.validation), len(fold.test)) == (144, 16, 40)
        people = [
            {names[row].split("/")[1] for row in part} for part in (fold.train, fold.validation)
        ]
        assert not people[0] & people[1]
    with pytest.raises(WrinkleError, match="no train rows"):
        get_protocol("adience").folds(table.filter(pa.array([k % 5 == 0 for k in range(200)])))
