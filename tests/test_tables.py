import codecs
import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wrinkle.errors import WrinkleError
from wrinkle.tables import normal, parse_number, read_lines, read_table, read_text


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "x.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_lines_by_number_with_stripped_cells(tmp_path: Path) -> None:
    file = write(tmp_path, '\ufeffa; b\r\n\r\n"c;\nd"; e,f \r\n;\r\n')
    assert read_lines(file, ";") == [(1, ["a", "b"]), (3, ["c;\nd", "e,f"])]
    with pytest.raises(WrinkleError, match=r"x\.csv, line 2: 3 cells, more than the first line"):
        read_lines(write(tmp_path, "a;b\nc;d;e\n"), ";")


def test_short_lines_are_filled(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "photo,age\na.jpg\nb.jpg,5,\n,,,\n"), ["age"]).lines == [
        (2, {"photo": "a.jpg", "age": ""}),
        (3, {"photo": "b.jpg", "age": "5"}),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "photo,age\na.jpg,5\n",
        "\ufeffphoto,age\r\na.jpg,5\r\n",
        "photo,age\ra.jpg,5\r",
        "photo;age\na.jpg;5\n",
        "photo\tage\na.jpg\t5",
        "sep=;\nphoto;age\na.jpg;5\n",
        '"sep=;"\r\nphoto;age\r\na.jpg;5\r\n',
        "\n\n  \nphoto,age\na.jpg,5\n",
        "# made by hand\nphoto,age\na.jpg,5\n",
        "Photo, AGE \na.jpg, 5 \n",
        ",photo,age\n0,a.jpg,5\n",
        '"photo", "age"\n"a.jpg", "5"\n',
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_understood_in_every_encoding(tmp_path: Path, text: str, encoding: str) -> None:
    table = read_table(write(tmp_path, text.encode(encoding)), ["photo", "age"])
    ((_, cells),) = table.lines
    assert (cells["photo"], cells["age"]) == ("a.jpg", "5")
    assert table.numbers("age") == [5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"age\n", r"lacks the columns photo and race: .* at least photo, age and race, separated"),
        (b"", r"lacks the columns photo, age and race: .*found nothing"),
        (b'photo,age,race\n"a', "line 2: not a CSV file"),
        (b'photo,age,race\na,5,W\n"a"b,5,W', "line 3: not a CSV file"),
        (b"photo,age,race,Age\n", "line 1: the column age is named twice"),
        (b"#\n\nphoto,age,race\na.jpg,23,5,W\n", "line 4: 4 cells, more than 3 columns"),
        (b"photo,age,race,\na.jpg,23,W,x\n", "line 2: 'x' is in column 4, which has no name"),
        (b"photo,age,race\na\xe9.jpg,5,W\n", r"is not UTF-8 text \(line 2\)"),
        (b"photo,age,race\na.jpg,5,\0\n", "line 2: not text: it holds a NUL"),
        (codecs.BOM_UTF16_LE + b"a", "is damaged UTF-16 text"),
    ],
)
def test_another_file_is_one_line(tmp_path: Path, text: bytes, message: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(WrinkleError, match=message) as caught:
        read_table(file, ["photo", "age", "race"])
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_no_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match=r"cannot read .*none\.csv: No such file"):
        read_text(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("text", "value"),
    [("23.5", 23.5), ("23,5", 23.5), ("007", 7), ("-.5", -0.5), ("1e1", 10), (" 7 ", 7)],
)
def test_numbers(text: str, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text",
    ["", "1_0", "0x20", "nan", "inf", "1e999", "23 5", "1.234,5", "1,234.5", "1,2,3", "٢٣", "２３"],
)
def test_no_numbers(text: str) -> None:
    assert parse_number(text) is None


def test_decimal_marks(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "a;b\n23,512;1.5\nx;2\n;\n7;3\n"), ["a"])
    assert table.numbers("a") == [23.512, None, 7]
    assert table.numbers("b") == [1.5, 2, 3]
    table = read_table(write(tmp_path, 'a,b\n"23,5",x\n"1,234",y\n'), ["a"])
    assert table.numbers("a") == [23.5, None]
    table = read_table(write(tmp_path, "a;b\n1,5;x\n\n1.5;y\n"), ["a"])
    with pytest.raises(WrinkleError, match=r"line 4: a is 1,5 in line 2 and 1\.5 in line 4"):
        table.numbers("a")


@dataclass(frozen=True)
class Dialect:
    """How a program may write a table."""

    separator: str
    end: str
    encoding: str
    quoting: int
    before: str
    header: Callable[[str], str]
    comma: bool


DIALECTS = st.builds(
    Dialect,
    separator=st.sampled_from([",", ";", "\t"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    before=st.sampled_from(["", "\n", "  \n\n", "# a comment\n", "sep"]),
    header=st.sampled_from([str, str.upper, str.title]),
    comma=st.booleans(),
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8)
NUMBERS = st.floats(0, 120).map(lambda value: round(value, 2))
ROWS = st.lists(st.tuples(TEXTS, NUMBERS, TEXTS), min_size=1, max_size=6)


def written(rows: list[tuple[str, float, str]], dialect: Dialect) -> bytes:
    """The table as a program with that dialect writes it."""
    text = io.StringIO()
    if dialect.before == "sep":
        text.write(f"sep={dialect.separator}{dialect.end}")
    else:
        text.write(dialect.before.replace("\n", dialect.end))
    table = csv.writer(
        text, delimiter=dialect.separator, lineterminator=dialect.end, quoting=dialect.quoting
    )
    table.writerow(map(dialect.header, ("path", "age", "person")))
    for path, age, person in rows:
        number = f"{age:.2f}"
        table.writerow([path, number.replace(".", ",") if dialect.comma else number, person])
    return text.getvalue().encode(dialect.encoding)


def read_back_exactly(folder: Path, rows: list[tuple[str, float, str]], dialect: Dialect) -> None:
    table = read_table(write(folder, written(rows, dialect)), ["path", "age"])
    read = [(cells["path"], cells["person"]) for _, cells in table.lines]
    assert read == [(path.strip(), person.strip()) for path, _, person in rows]
    assert table.numbers("age") == [age for _, age, _ in rows]


def damaged(content: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    for place, some in changes:
        place %= len(content) + 1
        content = content[:place] + some + content[place + len(some) // 2 :]
    return content


CHANGES = st.lists(
    st.tuples(
        st.integers(0, 10_000),
        st.sampled_from([b",", b";", b"\t", b'"', b"\n", b"\r", b"\0", b"_", b"\xff", b"age", b"#"])
        | st.binary(max_size=3),
    ),
    min_size=1,
    max_size=4,
)


def read_or_one_line(
    folder: Path,
    rows: list[tuple[str, float, str]],
    dialect: Dialect,
    changes: list[tuple[int, bytes]],
) -> None:
    file = write(folder, damaged(written(rows, dialect), changes))
    try:
        table = read_table(file, ["path", "age"])
        numbers = table.numbers("age")
    except WrinkleError as error:
        message = str(error)
    else:
        message = f"{file} has {len(numbers)} numbers"
        assert len(numbers) == len(table.lines)
    assert str(file) in message
    assert not {"\n", "\r"} & {*message}


def examples(count: int) -> settings:
    return settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


@given(rows=ROWS, dialect=DIALECTS)
@examples(1000)
def test_any_dialect_is_read_back_exactly(tmp_path, rows, dialect):
    read_back_exactly(tmp_path, rows, dialect)


@given(rows=ROWS, dialect=DIALECTS, changes=CHANGES)
@examples(1000)
def test_damaged_tables_are_read_or_one_line(tmp_path, rows, dialect, changes):
    read_or_one_line(tmp_path, rows, dialect, changes)


@pytest.mark.slow
@given(rows=ROWS, dialect=DIALECTS)
@examples(5000)
def test_any_dialect_is_read_back_exactly_at_length(tmp_path, rows, dialect):
    read_back_exactly(tmp_path, rows, dialect)


@pytest.mark.slow
@given(rows=ROWS, dialect=DIALECTS, changes=CHANGES)
@examples(5000)
def test_damaged_tables_are_read_or_one_line_at_length(tmp_path, rows, dialect, changes):
    read_or_one_line(tmp_path, rows, dialect, changes)


def test_names_are_composed() -> None:
    assert normal("e\u0301") == "\u00e9"
