"""All stages of curation on real faces: a local web with planted faults → a dataset.

    python -m benchmarks.curation_end_to_end FGNET UTKFACE --pictures 5000

Exact and near duplicates are planted (the same bytes, compressed again, scaled to 80 %, 1 % cropped
from two sides), and errors, redirects and other content. Prints URLs with an unexpected result,
seconds of each stage, how many planted duplicates were found, and the merges that were not planted:
of different people where FG-NET says who is who. --sheet draws those.
"""

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from benchmarks.local_web import CONTACT, LOOPBACK, Server
from benchmarks.planted_web import PlantedWeb, resolver

from wrinkle.curation.config import load_config
from wrinkle.curation.stages import STAGES
from wrinkle.curation.stages.context import StageContext
from wrinkle.curation.stages.pipeline import run_stages
from wrinkle.curation.status import table
from wrinkle.curation.web.fetcher import Fetcher, Limits
from wrinkle.curation.workspace import Workspace
from wrinkle.faces.decode import decode
from wrinkle.faces.files import list_images

CONFIG = """
workspace: workspace
contact: someone@example.org
collect: {sources: [{source: url_list, queries: [urls.txt], limit: 10000000}]}
faces: {size: 30}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fgnet", type=Path)
    parser.add_argument("utkface", type=Path)
    parser.add_argument("--pictures", type=int, default=5000)
    parser.add_argument("--planted", type=int, default=200, help="pictures with four copies")
    parser.add_argument("--sheet", type=Path, help="a picture of the merges that were not planted")
    args = parser.parse_args()
    draw = random.Random(0)
    fgnet, utkface = (sorted(map(Path, list_images([str(p)]))) for p in (args.fgnet, args.utkface))
    files = fgnet[: args.pictures]
    files += draw.sample(utkface, args.pictures - len(files))
    with tempfile.TemporaryDirectory() as folder, Server().running() as server:
        web = PlantedWeb(server)
        for number, file in enumerate(files):
            web.add(f"p{number}.jpg", file.read_bytes(), file)
        web.add_copies(draw.sample(files, args.planted))
        web.add_faults()
        workspace = curate(web, Path(folder))
        wrong = unexpected(web, workspace)
        print(f"URLs with an unexpected result: {len(wrong)} {wrong[:3]}")
        merges(web, workspace, set(fgnet), args.sheet)


def curate(web: PlantedWeb, folder: Path) -> Workspace:
    """Run every stage on the web, and print its seconds."""
    (folder / "urls.txt").write_text("\n".join(web.expected))
    (folder / "faces.yaml").write_text(CONFIG)
    config = load_config(folder / "faces.yaml")
    workspace = Workspace(config.workspace)
    limits = Limits(seconds=3, size=3_000_000, interval=0)
    context = StageContext(
        workspace, config, Fetcher(CONTACT, limits, allow=LOOPBACK, resolver=resolver)
    )
    for stage in STAGES:
        start = time.perf_counter()
        run_stages(context, [stage])
        print(f"{stage:<13}{time.perf_counter() - start:8.1f} s")
    web.stop.set()
    print(table(workspace))
    return workspace


def unexpected(web: PlantedWeb, workspace: Workspace) -> list[tuple[str, str, str]]:
    """URLs, the expected and the actual status where they differ."""
    found = workspace.table("found", "url", "address").to_pylist()
    actual = {
        row["address"]: row["dropped"] or "kept" for row in workspace.table("collect").to_pylist()
    }
    return [
        (row["url"], web.expected[row["url"]], status)
        for row in found
        if (status := actual[row["address"]]) != web.expected[row["url"]]
    ]


def merges(web: PlantedWeb, workspace: Workspace, fgnet: set[Path], sheet: Path | None) -> None:
    """Count the planted duplicates that were found, and what else was merged."""
    pictures = {row["picture"]: row["address"] for row in workspace.table("collect").to_pylist()}
    groups: dict[str, list[str]] = {}
    for row in workspace.table("deduplicate").to_pylist():
        groups.setdefault(row["group"], []).append(row["face"])
    found, planted, other = Counter[str](), Counter[str](), Counter[str]()
    shown = []
    with_face = {face.partition("-")[0] for members in groups.values() for face in members}
    for members in groups.values():
        origins = {web.origin[face.partition("-")[0]] for face in members}
        for face in members:
            address = pictures[face.partition("-")[0]]
            kind = address.removesuffix(".jpg").rpartition("-")[2]
            if address in web.copy_of and kind != "same":
                original = [
                    f for f in members if f != face and web.origin[f[:64]] == web.origin[face[:64]]
                ]
                found[kind] += bool(original)
                planted[kind] += 1
        if len(origins) > 1:
            people = {path.name[:3].lower() for path in origins & fgnet}
            names = "of different people" if len(people) > 1 else "of one person"
            known = names if origins <= fgnet else "of people who are unknown"
            other[known] += 1
            shown.append(members)
    print(f"pictures with a face that is kept: {len(with_face):,}")
    for kind, count in sorted(planted.items()):
        print(f"planted, {kind}: {found[kind]} of {count} merged with their original or its copies")
    print(f"groups of different files: {sum(other.values())}: {dict(other)}")
    if sheet is not None and shown:
        draw_sheet(workspace, web, shown, sheet)


def draw_sheet(workspace: Workspace, web: PlantedWeb, groups: list[list[str]], sheet: Path) -> None:
    """A row for each group, one face of each of its files."""
    images = dict(zip(*workspace.table("faces", "face", "image").to_pydict().values(), strict=True))
    rows = []
    for members in groups[:60]:
        one = {web.origin[face[:64]]: face for face in members}
        faces = [cv2.resize(decode(images[face]), (96, 96)) for face in list(one.values())[:4]]
        faces += [np.full((96, 96, 3), 255, np.uint8)] * (4 - len(faces))
        rows.append(np.hstack(faces))
    rows += [np.full_like(rows[0], 255)] * (-len(rows) % 3)
    columns = [np.vstack(rows[k::3]) for k in range(3)]
    cv2.imwrite(str(sheet), np.hstack(columns)[..., ::-1])


if __name__ == "__main__":
    main()
