import numpy as np
import pytest
import torch

from tests.tiny import tiny, write_store
from wrinkle.datasets.loader import Draw, Faces
from wrinkle.datasets.store import Store
from wrinkle.faces.align import face_input
from wrinkle.faces.input import InputSpec
from wrinkle.inference.predict_store import predict_store
from wrinkle.models import create_model

SPEC = InputSpec(32, 0.9, 48, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(write_store(tmp_path_factory.mktemp("drawn") / "drawn.arrow", 40))


def test_rows_come_in_the_order_asked_whatever_the_batch(store: Store) -> None:
    torch.manual_seed(0)
    model = tiny().eval()
    indices = np.array([7, 3, 31, 3, 0])
    whole = predict_store(model, SPEC, store, indices, mirror_average=False)
    p, age = whole
    assert p.shape == (5, 101)
    assert age.shape == (5,)
    assert p.dtype == age.dtype == np.float32
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(age, p.astype(float) @ np.arange(101), atol=1e-4)
    np.testing.assert_array_equal(p[1], p[3])
    for batch, workers in ((1, 0), (2, 1), (5, 0)):
        again = predict_store(
            model, SPEC, store, indices, batch=batch, mirror_average=False, workers=workers
        )
        np.testing.assert_allclose(again.distribution, p, atol=1e-6)
        np.testing.assert_allclose(again.age, age, atol=1e-4)
    item = Faces(store, SPEC)[Draw(0, 31, 0)]
    images = face_input(item.crop[None], item.matrix[None], 32, [0.5] * 3, [0.25] * 3)
    with torch.no_grad():
        alone = model(images).raw.softmax(-1)[0]
    np.testing.assert_allclose(p[2], alone, atol=1e-6)


def test_the_age_is_the_heads_own(store: Store) -> None:
    """OR-CNN counts questions: its age is a whole year, the mean of its distribution is not."""
    torch.manual_seed(0)
    p, age = predict_store(
        tiny(head="or_cnn").eval(), SPEC, store, np.arange(6), mirror_average=False
    )
    np.testing.assert_array_equal(age, np.rint(age))
    assert np.abs(p @ np.arange(101) - age).max() > 1e-3


def test_every_classifier(store: Store) -> None:
    torch.manual_seed(0)
    model = create_model("dhaa", input_size=32, width=2, branches="local").eval()
    rows = np.arange(5)
    p, age = predict_store(model, SPEC, store, rows, batch=2, every_classifier=True)
    assert p.shape == (5, 4, 101)
    assert age.shape == (5, 4)
    final = predict_store(model, SPEC, store, rows)
    np.testing.assert_allclose(p[:, 0], final.distribution, atol=1e-6)
    np.testing.assert_allclose(age[:, 0], final.age, atol=1e-4)


def test_no_rows_no_predictions(store: Store) -> None:
    found = predict_store(tiny().eval(), SPEC, store, np.arange(0))
    assert found.distribution.shape == (0, 101)
    assert found.age.shape == (0,)
