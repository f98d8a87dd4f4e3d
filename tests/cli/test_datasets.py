from tests.cli.conftest import Command
from wrinkle.datasets import DATASETS


def test_every_dataset_with_its_terms(wrinkle: Command) -> None:
    done = wrinkle("datasets")
    assert done.code == 0
    assert done.err == []
    for info in DATASETS.values():
        assert f"\n{info.name}\n" in f"\n{done.out}"
        assert info.terms in done.out
        assert info.obtain in done.out
