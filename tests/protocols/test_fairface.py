import pyarrow as pa

from wrinkle.protocols import get_protocol


def test_the_authors_split() -> None:
    names = [f"train/{k}.jpg" for k in range(100)] + [f"val/{k}.jpg" for k in range(10)]
    table = pa.table({"name": names, "digest": [str(k) for k in range(110)]})
    (fold,) = get_protocol("fairface").folds(table)
    assert fold.test.tolist() == list(range(100, 110))
    assert (len(fold.train), len(fold.validation)) == (95, 5)
    assert {*fold.train.tolist(), *fold.validation.tolist()} == set(range(100))
    # The same pictures validate, whatever the order of the rows.
    turned = table.take(list(range(109, -1, -1)))
    (again,) = get_protocol("fairface").folds(turned)
    drawn = {names[row] for row in fold.validation}
    assert {turned["name"][int(row)].as_py() for row in again.validation} == drawn
