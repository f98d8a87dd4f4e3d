from pathlib import Path

from tests.cli.conftest import Command
from tests.datasets.test_dataset import PLUGIN
from wrinkle.datasets import DATASETS


def test_every_dataset_is_listed_with_its_terms(wrinkle: Command) -> None:
    done = wrinkle("datasets")
    assert done.code == 0
    assert done.err == []
    for name in DATASETS.names():
        about = DATASETS.create(name)
        assert f"\n{name}\n" in f"\n{done.out}"
        assert about.terms in done.out
        assert about.obtain in done.out


def test_a_dataset_of_a_plug_in_file_is_listed(wrinkle: Command, tmp_path: Path) -> None:
    plugin = tmp_path / "holiday.py"
    plugin.write_text(PLUGIN.format(name="holiday-listed"), encoding="utf-8")
    done = wrinkle("datasets", "--plugin", plugin)
    assert done.code == 0
    assert "holiday-listed\n  Holiday: photographs" in done.out
