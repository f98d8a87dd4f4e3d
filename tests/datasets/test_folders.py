from wrinkle.datasets.folders import inner, jpegs


def test_the_inner_folder_or_the_given_one(tmp_path):
    assert inner(tmp_path, "Album2") == tmp_path
    (tmp_path / "Album2").mkdir()
    assert inner(tmp_path, "Album2") == tmp_path / "Album2"


def test_pictures_are_found_in_either_case_and_sorted(tmp_path):
    for name in ("b.JPG", "a.jpg", "c.png", "d.jpg.mat"):
        (tmp_path / name).touch()
    assert [path.name for path in jpegs(tmp_path)] == ["a.jpg", "b.JPG"]
    assert jpegs(tmp_path / "none") == jpegs(tmp_path / "a.jpg") == []
