import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.conftest import write_adpf, write_dhaa
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.scores import score
from wrinkle.models.file import load_model
from wrinkle.report import face_figures, figures
from wrinkle.report.figure_list import of_run, with_legend_name
from wrinkle.report.page import compared, summary, write_report
from wrinkle.report.sources import System, read_system, renamed


class Reader(HTMLParser):
    """Every tag closed, every address, and all text."""

    VOID = ("meta", "img", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data.split()


@pytest.fixture(scope="session")
def systems(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> list[System]:
    """Two runs and another system's predictions for some of their faces, all 3 years too old."""
    both = [read_system(runs / name, None) for name in "ab"]
    rows = both[0].predictions.rows.slice(0, 40)
    lines = [f"{r['name']},{r['age'] + 3}" for r in rows.to_pylist()]
    file = tmp_path_factory.mktemp("csv") / "<b>theirs.csv"
    file.write_text("\n".join(["name,predicted", *lines]))
    assert both[0].run is not None
    return [*renamed(both), read_system(file, faces=both[0].run.store)]


@pytest.fixture(scope="session")
def report(systems: list[System], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(systems, tmp_path_factory.mktemp("page"), "wrinkle report a b")


def test_the_page_needs_no_network(report: Path) -> None:
    page = report.read_text(encoding="utf-8")
    reader = Reader(page)
    assert "script" not in page.lower()
    assert "default-src 'none'" in page
    assert len(reader.addresses) > 10
    assert all(re.match(r"#|data:image/(svg\+xml|webp);base64,", a) for a in reader.addresses)
    assert "url(" not in page
    assert "<b>theirs" not in page  # a name is text, whatever is in it
    assert "<b>theirs" in " ".join(reader.words)
    for address in reader.addresses:
        if address.startswith("data:image/svg"):
            svg = base64.b64decode(address.partition(",")[2]).decode()
            assert not re.search(r'(href|src)="(?!#|data:)', svg)


def test_the_page_has_the_scores(report: Path, systems: list[System]) -> None:
    words = Reader(report.read_text(encoding="utf-8")).words
    text = " ".join(words)
    for system in systems:
        assert f"{score(system.predictions)[0].mae.value:.2f}" in words
    run = systems[0].run
    assert run is not None
    mae = [result.mae for result in run.results]
    assert f"{np.mean(mae):.2f} ± {abs(mae[0] - mae[1]) / 2**0.5:.2f}" in text
    assert "2 of 4" in text
    assert "3.00 3.00 – 3.00" in text
    assert run.integrity in text
    assert "wrinkle train drawn.yaml name=drawn/a" in text
    assert "A reduced run" not in text


def test_figures_are_separate_files(report: Path) -> None:
    names = {file.stem for file in (report.parent / "figures").iterdir()}
    shared = {"cumulative_scores", "predicted_against_true", "errors_by_age", "coverage"}
    own = {f"{run}-{what}" for run in "ab" for what in ("ages", "features", "largest_errors")}
    assert names == {*shared, *own, "training_curves"}
    for name in names:
        assert (report.parent / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert "<svg" in (report.parent / "figures" / f"{name}.svg").read_text()


def test_without_pictures_there_are_no_faces(systems: list[System], tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mine.svg").write_text("")
    write_report(systems[1:2], tmp_path, "wrinkle report b")
    assert (tmp_path / "figures" / "b-largest_errors.pdf").exists()
    write_report(systems[1:2], tmp_path, "wrinkle report b", pictures=False)
    names = {file.stem for file in (tmp_path / "figures").iterdir()}
    assert "b-features" in names
    assert "mine" in names
    assert not any("errors" in name and name.startswith("b-") for name in names)
    assert "image/webp" not in (tmp_path / "report.html").read_text()


def test_which_figures_show_faces(systems: list[System]) -> None:
    names = [[d.name for d in of_run(systems[0], pictures)] for pictures in (False, True)]
    assert names[0] == ["a-ages", "a-features"]
    assert names[1] == [*names[0], "a-attention", "a-largest_errors"]
    nested = replace(systems[0], name="a/b")
    assert next(iter(of_run(nested, False))).name == "a--b-ages"


def test_a_reduced_run_is_marked(systems: list[System], tmp_path: Path) -> None:
    run = systems[0].run
    assert run is not None
    data = run.recipe.data.model_copy(update={"limit": 60})
    reduced = replace(run, recipe=run.recipe.model_copy(update={"data": data}))
    page = write_report([replace(systems[0], run=reduced)], tmp_path, "", pictures=False)
    assert "A reduced run: at most 60 pictures in each part" in page.read_text()


@pytest.mark.parametrize("name", ["_theirs", "$x_$", "a$b$c"])
def test_systems_with_different_labels_and_unusual_names(
    systems: list[System], tmp_path: Path, name: str
) -> None:
    predictions = systems[2].predictions
    column = predictions.rows.column_names.index("gender")
    genders = pa.array(["female", "male"] * 20)
    rows = predictions.rows.set_column(column, "gender", genders)
    other = replace(systems[2], name=name, predictions=replace(predictions, rows=rows))
    page = write_report([other, systems[1]], tmp_path, "", pictures=False)
    assert (tmp_path / "figures" / "errors_by_gender.svg").exists()
    assert name in page.read_text()
    (axes,) = figures.cumulative_scores([with_legend_name(other)]).axes
    (entry,) = axes.get_legend().get_texts()
    assert entry.get_text().endswith(name)


def test_two_systems_of_one_name_are_one_line(systems: list[System], tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match="two systems are called a: give one"):
        write_report([systems[0], replace(systems[1], name="a")], tmp_path, "")


def test_comparisons_are_with_the_first_system(systems: list[System]) -> None:
    rows = compared(systems)["rows"]
    assert [(name, faces) for name, faces, _ in rows] == [("b", 64), ("<b>theirs", 40)]
    error = np.abs(systems[0].predictions.predicted - systems[0].predictions.actual)[:40]
    assert rows[1][2].difference.value == pytest.approx(3 - error.mean())
    apart = replace(systems[2], predictions=systems[2].predictions.take(np.array([0])))
    other = replace(systems[0], predictions=systems[0].predictions.take(np.array([7])))
    assert compared([other, apart])["rows"] == [("<b>theirs", 0, None)]


def test_curves_and_means_by_hand(systems: list[System]) -> None:
    """The third system misses every age by 3 years."""
    (axes,) = figures.cumulative_scores(systems[2:]).axes
    shares = axes.lines[0].get_ydata()
    assert list(shares[:4]) == [0, 0, 0, 100]
    axes = figures.predicted_against_true(systems[2:]).axes[0]
    ages, means = axes.lines[0].get_data()
    assert means == pytest.approx(ages + 3)


def test_without_validation_there_is_no_validation_curve(systems: list[System]) -> None:
    run = systems[0].run
    assert run is not None
    assert [axes.get_ylabel() for axes in figures.training_curves(systems[:1]).axes] == [
        "loss",
        "validation MAE, years",
    ]
    blind = {f: [row | {"validation_mae": None} for row in h] for f, h in run.history.items()}
    alone = replace(systems[0], run=replace(run, history=blind))
    (axes,) = figures.training_curves([alone]).axes
    assert len(axes.lines) == 3  # two folds and their mean


def test_histograms_show_training_and_test_ages(systems: list[System]) -> None:
    run = systems[0].run
    assert run is not None
    (axes,) = figures.age_histograms(run).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[0].startswith("training: 128 faces, mean ")
    assert labels[1].startswith("test: 128 faces, mean ")


def test_every_classifier_is_shown_if_there_are_several(systems: list[System]) -> None:
    run = systems[0].run
    assert run is not None
    each = [{"DHAA": 4.0, "G-1": 6.0}, {"DHAA": 5.0, "G-1": 8.0}]
    results = [replace(r, classifiers=c) for r, c in zip(run.results, each, strict=True)]
    having = replace(systems[0], run=replace(run, results=results))
    figure = figures.classifiers([having, systems[1]])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["DHAA", "G-1"]
    assert [bar.get_width() for bar in axes.patches] == [4.5, 7.0]


def test_the_epsilon_error_is_shown_if_labels_have_a_deviation(systems: list[System]) -> None:
    predictions = systems[2].predictions
    assert summary(systems[2], score(predictions)[0])["epsilon"] is None
    deviation = pa.array([3.0] + [None] * 39, pa.float32())
    column = predictions.rows.column_names.index("age_deviation")
    rows = predictions.rows.set_column(column, "age_deviation", deviation)
    voted = replace(systems[2], predictions=replace(predictions, rows=rows))
    found = summary(voted, score(predictions)[0])["epsilon"]
    assert found == pytest.approx(1 - np.exp(-0.5))  # 3 years off, 3 years of deviation


@pytest.mark.parametrize("write", [write_adpf, write_dhaa])
def test_attention_is_drawn_for_networks_that_have_it(
    systems: list[System], tmp_path: Path, write: object
) -> None:
    model, header = load_model(write(tmp_path / "m.safetensors"))  # type: ignore[operator]
    system = replace(systems[0], model=model, header=header)
    figure = face_figures.attention(system)
    assert figure is not None
    assert len(figure.axes) > 8
    found = face_figures.features(system, np.arange(7))
    assert found.shape[0] == 7
    assert np.ptp(found, 0).max() > 0


def test_a_plain_network_has_no_attention(systems: list[System]) -> None:
    assert face_figures.attention(systems[0]) is None


def test_the_largest_errors_come_first(systems: list[System]) -> None:
    predictions = systems[0].predictions
    figure = face_figures.largest_errors(systems[0])
    assert figure is not None
    error = np.abs(predictions.predicted - predictions.actual)
    index = int(error.argmax())
    title = f"true {predictions.actual[index]:.0f}\npredicted {predictions.predicted[index]:.0f}"
    assert figure.axes[0].get_title() == title


def test_faces_are_spread_over_all_ages() -> None:
    ages = np.array([50, 10, 40, 30, 20, 60])
    assert face_figures.spread_out(ages, np.array([0, 1, 2, 3]), 2).tolist() == [3, 0]
    assert sorted(face_figures.spread_out(ages, np.arange(6), 10)) == [0, 1, 2, 3, 4, 5]


def test_without_the_store_its_figures_are_left_out(systems: list[System], tmp_path: Path) -> None:
    run = systems[0].run
    assert run is not None
    gone = replace(systems[0], run=replace(run, store=None, folds=None))
    page = write_report([gone], tmp_path, "wrinkle report a").read_text()
    assert "is missing or has changed" in page
