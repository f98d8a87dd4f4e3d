import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from tests.conftest import write_adpf, write_dhaa
from wrinkle.errors import WrinkleError
from wrinkle.evaluation.scores import score
from wrinkle.models.file import load_model
from wrinkle.report import face_figures, figures
from wrinkle.report.figure_list import of_all, of_run, with_legend_name
from wrinkle.report.page import compared, duration, plural, summary, write_report
from wrinkle.report.sources import System, read_system, renamed


class Reader(HTMLParser):
    """Every tag closed, every address, all text, and for each table its class and the labels of the
    cells of its rows."""

    VOID = ("meta", "img", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.tables: list[tuple[str, list[list[str | None]]]] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        found = dict(attributes)
        if tag == "table":
            self.tables.append((found.get("class") or "", []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag == "td":
            self.tables[-1][1][-1].append(found.get("data-label"))
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


def test_tables_become_lists_on_a_phone(report: Path, systems: list[System]) -> None:
    """Below 40 rem the style sheet writes each cell's label before it, so no row is too wide."""
    page = report.read_text(encoding="utf-8")
    assert "content: attr(data-label)" in page
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in page
    tables = Reader(page).tables
    assert {name for name, _ in tables} == {"rows", "about"}
    (head, *rows) = tables[0][1]
    assert head == []  # headings only
    assert len(rows) == len(systems)
    assert {"MAE, years", "CS(5), %", "bias, years", "coverage, %"} < set(rows[0])
    for name, lines in tables:
        if name == "rows":
            assert all(None not in line for line in lines)


@pytest.fixture(scope="module")
def comparing(systems: list[System]) -> list[Figure]:
    """Figures of four systems, one with a long name and one with several classifiers."""
    run = systems[0].run
    assert run is not None
    results = [replace(r, classifiers={"DHAA": 4.0, "G-1": 6.0}) for r in run.results]
    first = replace(systems[0], run=replace(run, results=results))
    four = [first, *systems[1:], replace(systems[1], name="runs/" + 60 * "x")]
    made = [each.make() for each in of_all(four, [score(s.predictions) for s in four], [[]] * 4)]
    return [*filter(None, made), figures.age_histograms(run)]


def test_figures_are_no_wider_than_a_phone_can_show(
    systems: list[System], comparing: list[Figure]
) -> None:
    """At 360 pixels less margins, text of 10 points is shown at no less than 7.5 points."""
    worst = face_figures.largest_errors(systems[0])
    assert worst is not None
    assert all(figure.get_figwidth() <= 4.4 for figure in [*comparing, worst])


def assert_legends_are_beside_the_data(figure: Figure) -> None:
    """No legend overlaps the panels, where all data are, their ticks, labels or titles."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    legends = [*figure.legends, *filter(None, (axes.get_legend() for axes in figure.axes))]
    for legend in legends:
        box = legend.get_window_extent()
        for axes in figure.axes:
            parts = [axes.patch, axes.title, axes.xaxis, axes.yaxis]
            for part in parts:
                inner = part.get_tightbbox(renderer)
                if axes.axison and inner is not None and inner.width > 0:
                    common = Bbox.intersection(box, inner)
                    assert common is None or min(common.width, common.height) < 1, part


def test_legends_cover_no_data(comparing: list[Figure]) -> None:
    assert sum(len(figure.legends) for figure in comparing) == 7  # the classifiers have none
    for figure in comparing:
        assert_legends_are_beside_the_data(figure)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wrinkle.report.page.draw", lambda figures, folder: {})


@pytest.mark.usefixtures("no_figures")
def test_few_faces_have_no_line_in_figures_and_a_dash_in_tables(
    systems: list[System], tmp_path: Path
) -> None:
    three = systems[0].predictions.take(np.arange(3))
    few, other = replace(systems[0], predictions=three), replace(systems[1], predictions=three)
    scores = [score(few.predictions)]
    for figure in (figures.errors_by(scores, ["few"], "age"), figures.coverage(scores, ["few"])):
        lines = [line for axes in figure.axes for line in axes.collections]
        segments = [np.reshape(s, (-1, 2)) for line in lines for s in line.get_segments()]
        assert segments
        assert all(np.isfinite(segment).all(1).sum() < 2 for segment in segments)
    text = " ".join(Reader(write_report([few, other], tmp_path, "").read_text()).words)
    assert "nan" not in text
    assert f"{scores[0][0].mae.value:.2f} –" in text


@pytest.mark.usefixtures("no_figures")
def test_the_page_has_the_dates(
    systems: list[System], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    run = systems[0].run
    assert run is not None
    system = replace(systems[0], run=replace(run, date="2021-03-04"))
    text = " ".join(Reader(write_report([system], tmp_path, "", False).read_text()).words)
    assert "Made on 2023-11-14 (UTC)" in text
    assert "trained 2021-03-04, " in text


@pytest.mark.usefixtures("no_figures")
def test_sizes_are_those_of_the_store(systems: list[System], tmp_path: Path) -> None:
    """A store may hold a part of a dataset, whose published size is marked as such."""
    header = dict(systems[0].header)
    header["provenance"] = header["provenance"] | {"data": "fgnet"}
    page = write_report([replace(systems[0], header=header)], tmp_path, "", False).read_text()
    text = " ".join(Reader(page).words)
    run = systems[0].run
    assert run is not None
    assert run.store is not None
    assert f"the store holds {len(run.store):,} pictures of 16 people, ages 0–" in text
    parts = header["provenance"]["pictures"]
    assert f"{parts['train']} pictures for training, {parts['validation']} for validation" in text
    assert "in all finished folds 128 tested" in text
    assert text.count("1,002") == 1
    assert "The dataset as published, not the store: FG-NET: 1,002" in text


def test_durations_and_counts_in_words() -> None:
    assert [duration(s) for s in (0, 0.2, 80, 300, 9000)] == [
        *("", "1 second", "80 seconds", "5 minutes", "2.5 hours")
    ]
    assert plural(1, "person", "people") == "1 person"
    assert plural(1234, "person", "people") == "1,234 people"


def test_figures_are_separate_files(report: Path) -> None:
    names = {file.stem for file in (report.parent / "figures").iterdir()}
    shared = {"cumulative_scores", "predicted_against_true", "errors_by_age", "coverage"}
    own = {f"{run}-{what}" for run in "ab" for what in ("ages", "largest_errors")}
    assert names == {*shared, *own, "mean_errors", "training_curves", "features"}
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
    assert "features" in names
    assert "mine" in names
    assert not any("errors" in name and name.startswith("b-") for name in names)
    assert "image/webp" not in (tmp_path / "report.html").read_text()


def test_which_figures_show_faces(systems: list[System]) -> None:
    names = [[d.name for d in of_run(systems[0], pictures)] for pictures in (False, True)]
    assert names[0] == ["a-ages"]
    assert names[1] == [*names[0], "a-attention", "a-largest_errors"]
    nested = replace(systems[0], name="a/b")
    assert next(iter(of_run(nested, False))).name == "a--b-ages"


@pytest.mark.usefixtures("no_figures")
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
    (entry,) = axes.figure.legends[0].get_texts()
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
    labels = [text.get_text() for text in axes.figure.legends[0].get_texts()]
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


def test_mean_errors_are_bars_as_high_as_the_mae(systems: list[System]) -> None:
    scores = [score(system.predictions) for system in systems]
    (axes,) = figures.mean_errors(systems, scores).axes
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == [rows[0].mae.value for rows in scores]
    assert [text.get_text() for text in axes.texts] == [f"{height:.2f}" for height in heights]


def test_feature_maps_have_a_panel_for_each_run_with_the_same_colours(
    systems: list[System],
) -> None:
    figure = face_figures.feature_maps(systems)
    assert figure is not None
    panels = figure.axes[:-1]  # the last is the colour bar
    assert [axes.get_title() for axes in panels] == ["a", "b"]
    dots = [axes.collections[-1] for axes in panels]
    assert dots[0].get_clim() == dots[1].get_clim()
    run = systems[0].run
    assert run is not None
    first = run.fold(run.results[0].fold)
    assert first is not None
    assert len(dots[0].get_offsets()) == len(first.test)
    assert face_figures.feature_maps(systems[2:]) is None


def test_the_epsilon_error_is_shown_if_labels_have_a_deviation(systems: list[System]) -> None:
    predictions = systems[2].predictions
    assert summary(systems[2], score(predictions))["epsilon"] is None
    deviation = pa.array([3.0] + [None] * 39, pa.float32())
    column = predictions.rows.column_names.index("age_deviation")
    rows = predictions.rows.set_column(column, "age_deviation", deviation)
    voted = replace(systems[2], predictions=replace(predictions, rows=rows))
    found = summary(voted, score(predictions))["epsilon"]
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
    assert_legends_are_beside_the_data(figure)
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


def ranged(system: System, every: int) -> System:
    """The system on the same faces, with decades as labels; every `every`-th keeps its age."""
    rows, ages = system.predictions.rows, system.predictions.actual
    known = np.arange(len(ages)) % every == every - 1
    low = np.where(known, np.nan, ages // 10 * 10)
    columns = {"age": np.where(known, ages, np.nan), "age_low": low, "age_high": low + 9}
    for name, values in columns.items():
        place = rows.schema.get_field_index(name)
        field = rows.schema.field(name)
        column = pa.array(values, from_pandas=True).cast(field.type)
        rows = rows.set_column(place, field, column)
    return replace(system, predictions=replace(system.predictions, rows=rows))


@pytest.mark.parametrize("every", [3, 10**6])
def test_faces_with_ranges_have_scores_and_figures(
    systems: list[System], tmp_path: Path, every: int
) -> None:
    """Mixed labels, and ranges alone."""
    made = [replace(ranged(each, every), run=None) for each in systems[:2]]
    text = " ".join(Reader(write_report(made, tmp_path, "again").read_text()).words)
    names = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert {"estimates_by_range", "ranges_by_age"} <= names
    assert "Faces of which only a range is known" in text
    assert "difference of distance, years" in text
    for name in ("cumulative_scores", "predicted_against_true"):
        assert (name in names) == (every == 3)
    assert ("Only faces whose age is known:" in text) == (every == 3)
