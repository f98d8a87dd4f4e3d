"""People's ages through a real Label Studio: are careless people found, do ages improve?

    LABEL_STUDIO_BIN=.../label-studio python -m benchmarks.label_studio_ages UTKFACE --faces 60

Starts the server (SQLite, a temporary folder), runs `wrinkle curate` over some of UTKFace's
pictures, and lets four simulated people answer through its API: three who miss UTKFace's age by 3
years (standard deviation) with biases of +2, −2 and 0, and one who says anything from 0 to 90.
Prints the command's output, and the errors of coarse and refined ages. It shows that the arithmetic
is right, not how well people guess.
"""

import argparse
import hashlib
import os
import random
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.real_label_studio import Account, real_server

from wrinkle.cli import main as wrinkle
from wrinkle.curation.workspace import Workspace
from wrinkle.faces.files import list_images

CONFIG = """
workspace: workspace
contact: someone@example.org
collect: {{sources: [{{source: folder, queries: [pictures]}}]}}
coarse_label: {{annotators: [{{name: wrinkle}}, {{name: wrinkle, model: dhaa}}]}}
refine: {{url: '{url}', people: 4}}
"""
BIASES = {"bob": 2.0, "cyd": -2.0, "dan": 0.0, "eve": None}
"""Years; None: answers at random."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("utkface", type=Path)
    parser.add_argument("--faces", type=int, default=60)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ages = copy_some(args.utkface, folder / "pictures", args.faces)
        (folder / "studio").mkdir()
        with real_server(folder / "studio") as (url, _):
            accounts = {name: Account(url, name) for name in ("ada", *BIASES)}
            os.environ["LABEL_STUDIO_API_KEY"] = accounts["ada"].personal
            (folder / "faces.yaml").write_text(CONFIG.format(url=url))
            command = ["curate", "run", str(folder / "faces.yaml")]
            wrinkle(command)
            for _ in range(2):
                answer_all(accounts, ages)
                wrinkle(command)
        workspace = Workspace(folder / "workspace")
        for name in ("coarse_label", "refine"):
            rows = [row for row in workspace.table(name).to_pylist() if row["dropped"] is None]
            errors = [abs(row["age"] - ages[row["face"].partition("-")[0]]) for row in rows]
            print(f"{name}: {sum(errors) / len(errors):.2f} years off, {len(rows)} faces")


def copy_some(utkface: Path, pictures: Path, count: int) -> dict[str, float]:
    """Some of UTKFace's pictures; their SHA-256 → their age."""
    pictures.mkdir()
    ages = {}
    for path in random.Random(1).sample(sorted(map(Path, list_images([str(utkface)]))), count):
        data = path.read_bytes()
        (pictures / path.name).write_bytes(data)
        ages[hashlib.sha256(data).hexdigest()] = float(path.name.partition("_")[0])
    return ages


def answer_all(accounts: dict[str, Account], ages: dict[str, float]) -> None:
    """Everybody answers all tasks that the server gives."""
    project = accounts["ada"].ask("GET", "/api/projects/").json()["results"][0]["id"]

    def answer(name: str) -> None:
        draw, bias = random.Random(name), BIASES[name]

        def age(face: str) -> float:
            if bias is None:
                return draw.randint(0, 90)
            return max(round(ages[face.partition("-")[0]] + bias + draw.gauss(0, 3)), 0)

        accounts[name].label(project, age)

    with ThreadPoolExecutor(len(BIASES)) as pool:
        list(pool.map(answer, BIASES))


if __name__ == "__main__":
    main()
