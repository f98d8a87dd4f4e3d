import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from tests.protocols.tables import agedb as pictures_table
from tests.protocols.tables import shared, sizes
from wrinkle.protocols import afad, agedb, cacd, get_protocol, morph2
from wrinkle.protocols import split_lists as packed
from wrinkle.protocols.lists.make_published import main

scipy_io = pytest.importorskip("scipy.io")

MODULES = (morph2, cacd, afad, agedb)
FILES = {
    "morph2/photos.csv": "photo,subject,gender,race,age\r\n"
    "000001_00M34.JPG,000001,M,B,34\r\n000001_01M35.JPG,000001,M,W,35\r\n"
    "000002_0F20.JPG,000002,F,H,20\r\n000003_0F21.JPG,000003,F,W,21\r\n",
    "morph2/random_train.txt": "000001_00M34.JPG\n000002_0F20.JPG\n",
    "morph2/random_test.txt": "000003_0F21.JPG\n",
    "morph2/dex_train.txt": "000001_01M35.JPG\n",
    "morph2/dex_test.txt": "000003_0F21.JPG\n",
    "morph2/agr_s1.txt": "000001_00M34.JPG\n",
    "morph2/agr_s2.txt": "000001_00M34.JPG\n",  # wrong, as the published one is
    "morph2/agr_s1_s3.txt": "000001_00M34.JPG\n000002_0F20.JPG\n",
    "morph2/agr_s2_s3.txt": "000003_0F21.JPG\n000002_0F20.JPG\n",
    "morph2/coral_train.txt": "000001_00M34.jpg\n",
    "morph2/coral_valid.txt": "000002_0F20.jpg\n",
    "morph2/coral_test.txt": "999999_0M50.jpg\n",
    "coral_cnn/cacd_train.csv": ",file,age\n7,30_A.J._Cook_0003.jpg,16\n",
    "coral_cnn/cacd_valid.csv": ",file,age\n8,20_Zoë_Bell_0001.jpg,6\n",
    "coral_cnn/cacd_test.csv": ",file,age\n9,31_A.J._Cook_0001.jpg,17\n",
    "coral_cnn/afad_valid.csv": "file,path,age,gender\n5-0.jpg,18/111/5-0.jpg,3,male\n",
    "coral_cnn/afad_test.csv": "file,path,age,gender\n9-10.jpg,18/112/9-10.jpg,3,female\n",
    "agedb.csv": "age,path,split\n31,AgeDB/2_X_31_f.jpg,val\n8,AgeDB/0_Y_8_m.jpg,train\n"
    "9,AgeDB/1_Y_9_m.jpg,test\n",
}
PICTURES = {
    "30_A.J._Cook_0001.jpg": 12,
    "30_A.J._Cook_0003.jpg": 12,
    "31_A.J._Cook_0001.jpg": 12,
    "20_Zoë_Bell_0001.jpg": 3,
}
TEXTS = {
    morph2: "000001 00M34 01M35\n000002 0F20\n000003 0F21\n999999 0M50\n"
    "# group\nBW-W.\n# random\nt-te-\n# partial\n-t-e-\n# s1-s2-s3\n1-32-\n# coral\nt-v-e\n",
    cacd: "A.J._Cook 12 30-.t 31e\nZoë_Bell 3 20v\n",
    afad: "18/111 5-0\n18/112 9-10\n# coral\nve\n",
    agedb: "# dir\ntev\n",
}


@pytest.fixture
def published(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "published" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "published" / "agemeta").mkdir()
    columns = {
        "name": np.array(list(PICTURES), dtype=object),
        "rank": np.array(list(PICTURES.values())),
    }
    path = tmp_path / "published" / "agemeta" / "celebrity2000_meta.mat"
    scipy_io.savemat(path, {"celebrityImageData": columns})
    return tmp_path / "published"


def test_lists_are_packed_and_read_back(published, tmp_path, monkeypatch, capsys):
    (tmp_path / "lists").mkdir()
    main(str(published), str(tmp_path / "lists"))
    printed = capsys.readouterr().out
    monkeypatch.setattr(packed, "files", lambda package: tmp_path)
    for line, module in zip(printed.splitlines(), MODULES, strict=True):
        checksum = line.split("'")[1]
        assert line.startswith(f"{module.LIST}: ")
        assert packed.read_list(module.LIST, checksum) == TEXTS[module]
        monkeypatch.setattr(module, "CHECKSUM", checksum)
    assert cacd.pictures.__wrapped__() == {
        "30_A.J._Cook_0001.jpg": (12, "-"),
        "30_A.J._Cook_0003.jpg": (12, "t"),
        "31_A.J._Cook_0001.jpg": (12, "e"),
        "20_Zoë_Bell_0001.jpg": (3, "v"),
    }
    assert afad.parts.__wrapped__() == {"18/111/5-0": "v", "18/112/9-10": "e"}
    assert agedb.parts.__wrapped__() == "tev"
    names, columns = morph2.photos.__wrapped__()
    assert names[-1] == "999999_0M50"
    assert columns["s1-s2-s3"] == "1-32-"


@pytest.fixture
def real(data_root):
    """The folder of the published lists."""
    folder = Path(os.environ.get("WRINKLE_PROTOCOLS", data_root.parent / "protocols"))
    if not folder.is_dir():
        pytest.skip(f"no published lists in {folder}: set WRINKLE_PROTOCOLS to their folder")
    return folder


@pytest.mark.data
def test_the_packaged_lists_are_reproduced(real, tmp_path):
    main(str(real), str(tmp_path))
    for module in MODULES:
        text = gzip.decompress((tmp_path / module.LIST).read_bytes())
        assert hashlib.sha256(text).hexdigest() == module.CHECKSUM


@pytest.mark.data
def test_all_people_of_agedb_dirs_test_part_are_in_training(real):
    lines = (real / "agedb.csv").read_text(encoding="utf-8").splitlines()[1:]
    rows = pictures_table([line.split(",")[1].partition("/")[2] for line in lines])
    (fold,) = get_protocol("agedb-dir").folds(rows)
    assert sizes(fold) == (12_208, 2_140, 2_140)
    assert shared(fold, rows) == (544, 2_140)


@pytest.mark.data
def test_half_of_the_published_s2_is_in_s1(real):
    """Which is why it is not used."""
    first, second, tested = (
        set((real / "morph2" / f"agr_{name}.txt").read_text().split())
        for name in ("s1", "s2", "s1_s3")
    )
    assert len(first & second) == len(second & tested) == 5_310
