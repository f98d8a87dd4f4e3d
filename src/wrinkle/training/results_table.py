"""results.csv and results.md: the finished folds of a run."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wrinkle.files import replace_file
from wrinkle.runs.folder import RESULT_FILE, Result, read_note, read_result


def write_table(root: Path, names: list[str], writer: str) -> None:
    """Write results.csv and results.md of all finished folds.

    Args:
        root: folder of the run.
        names: of all folds of its protocol.
        writer: as for `wrinkle.files.replace_file`.
    """
    done = [name for name in names if (root / name / RESULT_FILE).exists()]
    results = [read_result(root / name) for name in done]
    fields = [name for name in Result.__dataclass_fields__ if name != "classifiers"]
    rows = [[getattr(result, name) for name in fields] for result in results]
    replace_file(root / "results.csv", to_csv([fields, *rows]), writer)
    text = format_table(results, len(names)) + format_classifiers(results)
    note = read_note(root)
    text += "".join(f"\n{line}\n" for line in (note["integrity"], note.get("labels")) if line)
    replace_file(root / "results.md", text.encode(), writer)
    if done != [name for name in names if (root / name / RESULT_FILE).exists()]:
        write_table(root, names, writer)  # other processes have finished folds meanwhile


def format_table(results: list[Result], folds: int) -> str:
    """Return a Markdown table of scores: each fold, mean ± standard deviation, all pictures.

    Args:
        results: of the finished folds.
        folds: number of folds of the protocol.
    """
    lines = ["| fold | pictures | MAE | CS(5) % |", "|---|---:|---:|---:|"]
    lines += [f"| {r.fold} | {r.n} | {r.mae:.3f} | {100 * r.cs5:.1f} |" for r in results]
    if len(results) > 1:
        n = np.array([r.n for r in results])
        mae = np.array([r.mae for r in results])
        cs5 = np.array([100 * r.cs5 for r in results])
        lines.append(
            f"| mean ± deviation of {len(results)} of {folds} folds | {n.mean():.1f} "
            f"| {mae.mean():.3f} ± {mae.std(ddof=1):.3f} "
            f"| {cs5.mean():.1f} ± {cs5.std(ddof=1):.1f} |"
        )
        share = n / n.sum()
        lines.append(f"| all pictures | {n.sum()} | {mae @ share:.3f} | {cs5 @ share:.1f} |")
    return "\n".join(lines) + "\n"


def format_classifiers(results: list[Result]) -> str:
    """Return a Markdown table of each classifier's MAE, mean ± standard deviation over folds.

    Args:
        results: of the finished folds.

    Returns:
        The table; empty if the model has one classifier only.
    """
    if not results or not results[0].classifiers:
        return ""
    lines = ["", "| classifier | MAE |", "|---|---:|"]
    for name in results[0].classifiers:
        mae = np.array([result.classifiers[name] for result in results])
        spread = f" ± {mae.std(ddof=1):.3f}" if len(mae) > 1 else ""
        lines.append(f"| {name} | {mae.mean():.3f}{spread} |")
    return "\n".join(lines) + "\n"


def to_csv(rows: Sequence[Sequence[object]]) -> bytes:
    """Return rows as CSV in UTF-8."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
