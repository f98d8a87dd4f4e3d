import csv
import io
import re
from pathlib import Path

import pytest

from tests.runs.hand_made import FOLDS, write_run
from wrinkle.report.published import published, published_by_protocol
from wrinkle.report.table import Table, published_table, tables
from wrinkle.report.table_formats import COLUMNS, latex, markdown, to_csv
from wrinkle.runs.reader import read_run

LOPO = {"001": FOLDS["1"], "002": FOLDS["2"]}


@pytest.fixture
def lopo(tmp_path: Path) -> Table:
    """Two of 82 folds, without their store, and the published figures."""
    folder = write_run(
        tmp_path, tmp_path / "fg|net_&.arrow", LOPO, name="own/a_b", data__protocol="fgnet-lopo"
    )
    (table,) = tables([read_run(folder)])
    return table


def read_markdown(text: str) -> list[dict[str, str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    head, rule, *rows = cells
    assert all(set(cell) <= set("-:") for cell in rule)
    return [dict(zip(head, row, strict=True)) for row in rows]


def read_latex(text: str) -> list[list[str]]:
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    rows = [re.split(r" (?<!\\)& ", line.removesuffix(r" \\")) for line in lines]
    assert len({len(row) for row in rows}) == 1
    columns = re.search(r"begin\{tabular\}\{([lr]+)\}", text)
    assert columns is not None
    assert len(columns[1]) == len(rows[0])
    return rows


def test_markdown_has_every_column(lopo: Table) -> None:
    text = markdown([lopo])
    own, *others = read_markdown(text)
    assert own["method"] == "own/a_b"
    assert own["MAE"].startswith("4.400 (")
    assert own["MAE over folds"] == "4.000 ± 2.828"
    assert own["CS(5) %"].startswith("60.0 (")
    assert own["CS(5) % over folds"] == "66.7 ± 47.1"
    assert own["folds"] == "2 of 82 folds (001, 002)"
    assert (own["pictures"], own["epochs"], own["seed"], own["parameters"]) == (
        *("5", "3", "0", "0.00 M"),
    )
    assert (own["start"], own["source"]) == ("from scratch", "ours")
    assert "ε-error" not in own
    assert [row["MAE"] for row in others] == [str(row.mae) for row in published("fgnet-lopo")]
    assert {row["source"] for row in others} == {"published: DHAA, IJCAI 2019, Table 4"}
    assert {row["folds"] for row in others} == {"–"}
    assert text.startswith("### fgnet-lopo\n\nleave one person out")
    assert "- People: on one side only.\n" in text
    assert "over pictures (" in text
    assert "is missing or has changed)." in text
    assert "missing folds" in text


def test_latex_escapes_and_aligns(lopo: Table) -> None:
    text = latex([lopo])
    head, own, *others = read_latex(text)
    assert head[:2] == ["method", "MAE"]
    assert r"CS(5) \%" in head
    assert own[0] == r"own/a\_b"
    assert r"4.000 $\pm$ 2.828" in own
    assert len(others) == len(published("fgnet-lopo"))
    assert text.count(r"\midrule") == 2
    assert r"fg|net\_\&.arrow is missing" in text
    for character in "±ε–":
        assert character not in text
    assert not re.search(r"(?<!\\)[%#_]", text)
    assert text.count("{") == text.count("}")
    environments = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    assert environments == [
        *(("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table")),
    ]


def test_csv_has_plain_numbers(lopo: Table) -> None:
    text = to_csv([lopo])
    own, *others = csv.DictReader(io.StringIO(text))
    assert tuple(own) == COLUMNS
    assert "\r" not in text
    assert own["kind"] == "ours"
    assert own["people"] == "apart"
    assert [float(own[f"mae{end}"]) for end in ("", "_mean", "_deviation")] == [4.4, 4, 2.8284]
    assert [float(own[f"cs5{end}"]) for end in ("", "_mean")] == [60, 66.6667]
    assert float(own["mae_low"]) < 4.4 < float(own["mae_high"])
    assert (own["folds_done"], own["folds"], own["parameters"]) == ("2", "82", "1309")
    assert own["limit"] == own["epsilon"] == own["paper"] == ""
    assert {row["kind"] for row in others} == {"published"}
    assert {row["protocol"] for row in others} == {"fgnet-lopo"}
    assert [row["mae"] for row in others] == [str(row.mae) for row in published("fgnet-lopo")]
    assert {row["where"] for row in others} == {"Table 4"}


@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("random:4", "People: shared (some both train and test)."),
        ("lap-2015", "People: unknown (the dataset does not say who is who"),
        ("by-person:4", "People: on one side only."),
    ],
)
def test_notes_state_shared_people(tmp_path: Path, protocol: str, expected: str) -> None:
    folder = write_run(tmp_path, tmp_path / "none.arrow", data__protocol=protocol)
    made = tables([read_run(folder)])
    assert f"- {expected}" in markdown(made)
    assert expected.partition(" (")[0] in latex(made)


def test_each_protocol_and_dataset_has_a_table(tmp_path: Path) -> None:
    store = tmp_path / "none.arrow"
    runs = [
        read_run(write_run(tmp_path, store, name=name, data=data, data__protocol=protocol))
        for name, data, protocol in [
            ("a", "one", "random:4"),
            ("b", "one", "fgnet-lopo"),
            ("c", "two", "random:4"),
            ("d", "one", "random:4:0"),
            ("e", "two", "fgnet-lopo"),
        ]
    ]
    made = tables(runs)
    assert [[row.run.recipe.name for row in table.runs] for table in made] == [
        *(["a", "d"], ["b", "e"], ["c"]),
    ]
    assert made[0].title == "random:4:0, none.arrow"
    differ = "The runs used stores with different pictures or labels."
    assert [differ in table.notes for table in made] == [False, True, False]
    assert [len(table.published) for table in made] == [0, 11, 0]
    assert len(list(csv.DictReader(io.StringIO(to_csv(made))))) == 5 + 11
    assert markdown(made).count("###") == 3


def test_reduced_runs_and_single_folds_are_marked(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path, tmp_path / "none", {"utkface": FOLDS["1"]}, name="small", data__limit=6000,
        data__protocol="utkface",
    )  # fmt: skip
    text = markdown(tables([read_run(folder)]))
    (row,) = read_markdown(text)
    assert row["method"] == "small (reduced: 6,000 pictures per part)"
    assert row["folds"] == "1"
    assert "MAE over folds" not in row
    assert "±" not in text
    assert "A reduced run" in text


def test_many_folds_are_counted_not_named(tmp_path: Path) -> None:
    folds = {f"{n:03}": [(f"{n}", 20, 20 + n)] for n in range(1, 6)}
    folder = write_run(tmp_path, tmp_path / "none", folds, data__protocol="fgnet-lopo")
    assert read_markdown(markdown(tables([read_run(folder)])))[0]["folds"] == "5 of 82 folds"
    other = write_run(tmp_path, tmp_path / "none", name="other")
    row = read_markdown(markdown(tables([read_run(other)])))[0]
    assert row["folds"] == "2 of ? folds (1, 2)"


def test_published_figures_without_runs() -> None:
    groups = published_by_protocol()
    made = [published_table(rows) for rows in groups]
    rows = list(csv.DictReader(io.StringIO(to_csv(made))))
    assert len(rows) == len(published())
    first = next(table for table in made if table.title.startswith("MORPH II"))
    assert first.title == "MORPH II, morph2-80-20-shared, morph2-random"
    assert first.notes[0] == "People: shared (some both train and test)."
    face = next(table for table in made if table.title == "UTKFace")
    assert face.about == "wrinkle has no such protocol"
    assert "the benchmark's own five splits" in face.notes[-1]
    text = latex(made)
    assert text.count(r"\begin{table}") == len(made)
    for table in made:
        assert len(read_markdown(markdown([table]))) == len(table.published)
