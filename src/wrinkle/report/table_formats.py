"""Tables as Markdown, LaTeX and CSV."""

import csv
import io
import math
from collections.abc import Sequence

from wrinkle.evaluation.uncertainty import Estimate
from wrinkle.report.published import Published
from wrinkle.report.run_scores import OverFolds, RunScores
from wrinkle.report.table import Table
from wrinkle.runs.reader import Run, start

WORDS = ("method", "start", "source")
"""Left-aligned columns; the others hold numbers."""
NAMED = 3
"""Most finished folds that are named where others are missing."""
LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "ε": r"$\varepsilon$",
    "–": "--",
}
SHOWN = (
    *("method", "MAE", "MAE over folds", "CS(5) %", "CS(5) % over folds", "ε-error"),
    *("in range %", "± 1 group %", "distance", "pictures", "with a range"),
    *("folds", "start", "epochs", "seed", "parameters", "source"),
)
"""Columns of Markdown and LaTeX tables; empty ones are left out."""
PEOPLE = {True: "shared", False: "apart", None: "unknown"}
COLUMNS = (
    *("protocol", "people", "data", "store", "kind", "method", "start", "limit", "epochs", "seed"),
    *("folds_done", "folds", "pictures", "ranges"),
    *("mae", "mae_low", "mae_high", "mae_mean", "mae_deviation"),
    *("cs5", "cs5_low", "cs5_high", "cs5_mean", "cs5_deviation"),
    *("epsilon", "epsilon_low", "epsilon_high"),
    *("inside", "inside_low", "inside_high", "near", "near_low", "near_high"),
    *("distance", "distance_low", "distance_high"),
    *("parameters", "drawn", "run", "paper", "where", "note"),
)
"""Columns of the CSV file; all are always there."""


def markdown(tables: Sequence[Table]) -> str:
    """A heading, a table and a list of notes for each table."""
    parts = [markdown_part(t.title, t.about, *_shown(t), t.notes) for t in tables]
    return "\n\n".join(parts) + "\n"


def markdown_part(
    title: str, about: str, head: list[str], rows: list[list[str]], notes: list[str]
) -> str:
    """A heading, a sentence, a table and a list of notes."""
    lines = [f"| {' | '.join(_markdown_cell(c) for c in row)} |" for row in (head, *rows)]
    rule = "|".join("---" if name in WORDS else "---:" for name in head)
    lines.insert(1, f"|{rule}|")
    listed = "\n".join(f"- {note}" for note in notes)
    return "\n\n".join(filter(None, [f"### {title}", about, "\n".join(lines), listed]))


def latex(tables: Sequence[Table]) -> str:
    r"""A `table` environment for each, notes in the caption. Needs `\usepackage{booktabs}`."""
    parts = []
    for table in tables:
        about = f"{table.title}: {table.about}." if table.about else f"{table.title}."
        rule = len(table.runs) if table.published else 0
        parts.append(latex_part(*_shown(table), " ".join([about, *table.notes]), rule))
    return "\n".join(parts)


def to_csv(tables: Sequence[Table]) -> str:
    """One row per method of all tables, plain numbers; errors in years, shares in per cent.

    inside and near are the columns "in range %" and "± 1 group %".
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in tables:
        writer.writerows(map(_run_record, table.runs))
        writer.writerows(_published_record(table, row) for row in table.published)
    return text.getvalue()


def latex_part(head: list[str], rows: list[list[str]], caption: str, rule: int) -> str:
    """A `table` environment; a line after the first `rule` rows, unless that is 0."""
    first, *lines = [" & ".join(map(_latex_text, row)) + r" \\" for row in (head, *rows)]
    if rule:
        lines.insert(rule, r"\midrule")
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\footnotesize",
            rf"\caption{{{_latex_text(caption)}}}",
            rf"\begin{{tabular}}{{{''.join('l' if name in WORDS else 'r' for name in head)}}}",
            *(r"\toprule", first, r"\midrule", *lines, r"\bottomrule"),
            *(r"\end{tabular}", r"\end{table}", ""),
        ]
    )


def _latex_text(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)


def _markdown_cell(text: str) -> str:
    return text.replace("|", r"\|")


def _shown(table: Table) -> tuple[list[str], list[list[str]]]:
    """Headings and cells, without empty columns."""
    rows = [*map(_run_cells, table.runs), *map(_published_cells, table.published)]
    head = [name for name in SHOWN if any(row.get(name) for row in rows)]
    return head, [[row.get(name) or "–" for name in head] for row in rows]


def _run_cells(scores: RunScores) -> dict[str, str]:
    recipe = scores.run.recipe
    limit = recipe.data.limit
    reduced = f" (reduced: {limit:,} pictures per part)" if limit else ""
    shown = {
        "method": f"{recipe.name}, {scores.store}" if scores.store else recipe.name + reduced,
        "MAE": figure(scores.mae, 3),
        "CS(5) %": figure(scores.cs5, 1),
        "ε-error": figure(scores.epsilon, 3),
        "pictures": f"{scores.pictures:,}",
        "source": "ours",
    }
    if scores.ranges is not None:
        shown |= {
            "in range %": figure(_percent(scores.ranges.inside), 1),
            "± 1 group %": figure(_percent(scores.ranges.near), 1),
            "distance": figure(scores.ranges.distance, 2),
            "with a range": f"{scores.ranges.faces:,}",
        }
    if scores.store:
        return shown
    return shown | {
        "MAE over folds": _spread(scores.mae_over_folds, 3),
        "CS(5) % over folds": _spread(scores.cs5_over_folds, 1),
        "folds": _folds(scores.run),
        "start": start(recipe),
        "epochs": str(recipe.training.epochs),
        "seed": str(recipe.training.seed),
        "parameters": f"{scores.parameters / 1e6:.2f} M",
    }


def _published_cells(row: Published) -> dict[str, str]:
    figures = {"MAE": row.mae, "CS(5) %": row.cs5, "ε-error": row.epsilon}
    return {
        "method": row.method,
        **{name: str(value) for name, value in figures.items() if value is not None},
        "start": row.start,
        "source": f"published: {row.paper}, {row.where}",
    }


def _run_record(scores: RunScores) -> dict[str, object]:
    run, recipe = scores.run, scores.run.recipe
    record: dict[str, object] = {
        "protocol": run.protocol.name,
        "people": PEOPLE[run.protocol.shares_people],
        "data": ", ".join(recipe.data.files),
        "store": scores.store,
        "kind": "ours",
        "method": recipe.name,
        "start": start(recipe),
        "limit": recipe.data.limit,
        "epochs": recipe.training.epochs,
        "seed": recipe.training.seed,
        "folds_done": len(run.results),
        "folds": run.fold_count,
        "pictures": scores.pictures,
        "ranges": 0 if scores.ranges is None else scores.ranges.faces,
        "parameters": scores.parameters,
        "drawn": scores.drawn,
        "run": run.folder,
    }
    found = {"mae": scores.mae, "cs5": scores.cs5, "epsilon": scores.epsilon}
    if scores.ranges is not None:
        found["inside"] = _percent(scores.ranges.inside)
        found["near"] = _percent(scores.ranges.near)
        found["distance"] = scores.ranges.distance
    for name, estimate in found.items():
        if estimate is not None:
            values = ["" if math.isnan(value) else f"{value:.4f}" for value in estimate]
            record |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
    for name, over_folds in (("mae", scores.mae_over_folds), ("cs5", scores.cs5_over_folds)):
        if over_folds is not None:
            mean, deviation = over_folds
            record[f"{name}_mean"] = f"{mean:.4f}"
            record[f"{name}_deviation"] = "" if deviation is None else f"{deviation:.4f}"
    return record


def _published_record(table: Table, row: Published) -> dict[str, object]:
    protocol = table.protocol
    return {
        "protocol": protocol.name if protocol else " ".join(row.protocols),
        "people": PEOPLE[protocol.shares_people] if protocol else "",
        "data": row.dataset,
        "kind": "published",
        **{name: getattr(row, name) for name in ("method", "start", "mae", "cs5", "epsilon")},
        **{name: getattr(row, name) for name in ("paper", "where", "note")},
    }


def _percent(share: Estimate) -> Estimate:
    return Estimate(*(100 * each for each in share))


def figure(estimate: Estimate | None, digits: int) -> str:
    if estimate is None:
        return ""
    value, low, high = (f"{each:.{digits}f}" for each in estimate)
    return value if math.isnan(estimate.low) else f"{value} ({low}–{high})"


def _spread(over_folds: OverFolds | None, digits: int) -> str:
    mean, deviation = over_folds or (0.0, None)
    return "" if deviation is None else f"{mean:.{digits}f} ± {deviation:.{digits}f}"


def _folds(run: Run) -> str:
    done = [result.fold for result in run.results]
    if len(done) == run.fold_count:
        return str(len(done))
    count = "?" if run.fold_count is None else run.fold_count
    names = f" ({', '.join(done)})" if len(done) <= NAMED else ""
    return f"{len(done)} of {count} folds{names}"
