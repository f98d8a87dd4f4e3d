"""Recipes for datasets that only their owners give: two steps on made folders of their layout."""

from collections import defaultdict
from collections.abc import Callable
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.conftest import EXAMPLES
from wrinkle.cli import main
from wrinkle.datasets.augment import Augment
from wrinkle.protocols import get_protocol
from wrinkle.runs.overlays import choices, read_recipe
from wrinkle.runs.recipe import load_recipe
from wrinkle.training.folds import train

RECIPES = Path(__file__).parents[2] / "recipes"
RECIPE = RECIPES / "dhaa.yaml"
TINY = [
    "model.width=4",
    "input.size=64",
    "init=none",
    "training.epochs=2",
    "training.batch=64",
    "training.workers=0",
    "training.precision=float32",
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    picture = cv2.imread(str(EXAMPLES / "joe_biden_2010.jpg"))
    assert picture is not None
    return cv2.resize(picture, None, fx=160 / picture.shape[1], fy=160 / picture.shape[1])


def write_faces(root: Path, names: list[str], face: np.ndarray, first: int = 0) -> None:
    """The face once for each name, with bytes of its own from number `first` on."""
    for number, name in enumerate(names, first):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        other = cv2.convertScaleAbs(face, alpha=1, beta=number % 40)
        other[0, : number // 40 + 1] = 0
        assert cv2.imwrite(str(root / name), other)


def chosen(protocol: str, count: int = 4, most: int = 60) -> list[str]:
    """Names of a published list: `count` of each part, or of each series of parts in the folds; at
    most `most` in all."""
    split, found = get_protocol(protocol), defaultdict(list)
    assert split.names is not None
    assert split.letters is not None
    for name in split.names():
        part = found[split.letters(name)]
        if len(part) < count:
            part.append(name)
    return [name for part in found.values() for name in part][:most]


def morph2(protocol: str) -> Callable[[Path, np.ndarray], Path]:
    def write(root: Path, face: np.ndarray) -> Path:
        write_faces(root, [f"Album2/{name}" for name in chosen(protocol)], face)
        return root

    return write


def cacd(protocol: str) -> Callable[[Path, np.ndarray], Path]:
    def write(root: Path, face: np.ndarray) -> Path:
        write_faces(root, [f"CACD2000/{name}" for name in chosen(protocol)], face)
        return root

    return write


def web_faceage(root: Path, face: np.ndarray) -> Path:
    """As `wrinkle curate` exports it."""
    names = [
        f"{part}/{n}.jpg" for part in ("train", "test") for n in range(24 if part == "train" else 4)
    ]
    write_faces(root, names, face)
    lines = [f"{name},{number % 100}" for number, name in enumerate(names)]
    (root / "labels.csv").write_text("\n".join(["path,age", *lines]))
    return root


def imdb_wiki(root: Path, face: np.ndarray) -> Path:
    scipy_io = pytest.importorskip("scipy.io")
    paths = [f"{n % 3:02}/nm{n}_1950-1-1_{1970 + n}.jpg" for n in range(24)]
    write_faces(root / "wiki_crop", paths, face)
    cells: dict[str, list[object]] = {
        "full_path": [*paths],
        "name": [f"Person {n}" for n in range(24)],
        "face_location": [[0.0, 0.0, 160.0, 160.0]] * 24,
    }
    numbers = {
        "dob": date(1950, 1, 1).toordinal() + 366,
        "photo_taken": 1990,
        "gender": 1.0,
        "face_score": 2.0,
        "second_face_score": np.nan,
    }
    struct: dict[str, np.ndarray] = {n: np.full((1, 24), v, float) for n, v in numbers.items()}
    for name, values in cells.items():
        struct[name] = np.empty((1, 24), object)
        struct[name][0, :] = values
    scipy_io.savemat(root / "wiki_crop" / "wiki.mat", {"wiki": struct})
    return root


def lap2015(root: Path, face: np.ndarray) -> Path:
    for part, first, count in (("Train", 0, 24), ("Validation", 24, 4), ("Test", 28, 4)):
        names = [f"image_{number}.jpg" for number in range(first, first + count)]
        write_faces(root / part, names, face, first)
        (root / f"{part}.csv").write_text("".join(f"{name};40;3.5\n" for name in names))
    return root


LAYOUTS: dict[str, tuple[str, Callable[[Path, np.ndarray], Path], int]] = {
    "morph2_80_20": ("morph2", morph2("morph2-random"), 1),
    "morph2_partial": ("morph2", morph2("morph2-partial"), 1),
    "morph2_s1_s2_s3": ("morph2", morph2("morph2-s1-s2-s3"), 2),
    "cacd": ("cacd", cacd("cacd-test-120"), 2),
    "web_faceage": ("folder", web_faceage, 1),
    "imdb_wiki": ("imdb_wiki", imdb_wiki, 1),
    "lap2015": ("lap2015", lap2015, 1),
}
"""Dataset of the recipe → what prepares it, what makes its folder, and its number of folds."""


ADPF: dict[str, tuple[str, Callable[[Path, np.ndarray], Path]]] = {
    "morph2_setting_1": ("morph2", morph2("morph2-80-20")),
    "morph2_setting_2": ("morph2", morph2("morph2-s1-s2-s3-drawn")),
    "morph2_setting_3": ("morph2", morph2("morph2-white")),
    "cacd": ("cacd", cacd("cacd-test-80")),
}
"""The same for recipes of ADPF, of which one fold is trained."""


def test_every_dataset_of_the_recipe_is_here_or_can_be_downloaded() -> None:
    names = choices(read_recipe(RECIPE))["dataset"]
    assert {*names} - {*LAYOUTS} == {"utkface", "fgnet_by_person", "fgnet_lopo"}
    for name in ("adpf.yaml", "adpf_attention.yaml", "adpf_paper.yaml"):
        offered = choices(read_recipe(RECIPES / name))["dataset"]
        assert {*offered} - {*ADPF} == {"utkface", "fgnet_by_person", "fgnet_lopo"}


@pytest.mark.slow
@pytest.mark.parametrize("dataset", LAYOUTS)
@pytest.mark.parametrize("size", ["full", "small"])
def test_two_steps_on_a_made_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, face: np.ndarray, dataset: str, size: str
) -> None:
    reader, write, folds = LAYOUTS[dataset]
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(RECIPE, [f"dataset={dataset}", f"size={size}", *TINY])
    (store,) = recipe.data.files
    root = write(tmp_path / "given", face)
    assert main(["prepare", reader, str(root), store, "--workers", "1", "--size", "96"]) == 0
    results = train(recipe)
    assert len(results) == folds
    assert all(len(result.classifiers) == 10 and result.n for result in results)
    assert (recipe.augment == Augment(mirror=0.5)) == (dataset in ("cacd", "web_faceage"))


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ADPF)
@pytest.mark.parametrize("name", ["adpf", "adpf_paper"])
def test_two_steps_of_adpf_on_a_made_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, face: np.ndarray, dataset: str, name: str
) -> None:
    reader, write = ADPF[dataset]
    monkeypatch.chdir(tmp_path)
    own = [o for o in TINY if not o.startswith("input.")]
    narrow = [*own, *(f"first.{o}" for o in own)]
    recipe = load_recipe(
        RECIPES / f"{name}.yaml", [f"dataset={dataset}", "size=small", *narrow, "data.limit=8"]
    )
    (store,) = recipe.data.files
    root = write(tmp_path / "given", face)
    assert main(["prepare", reader, str(root), store, "--workers", "1", "--size", "96"]) == 0
    (result,) = train(recipe, "1")
    assert result.n


@pytest.mark.slow
@pytest.mark.parametrize("variant", choices(read_recipe(RECIPE))["variant"])
def test_two_steps_of_every_variant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn_store: Path, variant: str
) -> None:
    monkeypatch.chdir(tmp_path)
    dlib = variant.startswith("dlib")
    small = [o for o in TINY if not (dlib and o.startswith(("model.", "input.")))]
    drawn = ["data.limit=8", f"data.store={drawn_store}", "data.protocol=random:4"]
    recipe = load_recipe(RECIPE, ["size=ablation", f"variant={variant}", *small, *drawn])
    (result,) = train(recipe, "1")
    many = {"global": 4, "local": 4, "global_local": 4, "global_and_local": 7}.get(variant, 10)
    none = "res18_ex" in variant or variant in ("no_sub_losses", "dlib_alone")
    assert len(result.classifiers) == (0 if none else many)
