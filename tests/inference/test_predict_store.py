import numpy as np
import pytest
import torch

from tests.tiny import tiny, write_store
from wrinkle.datasets.loader import Draw, Faces
from wrinkle.datasets.store import Store
from wrinkle.faces.input import InputSpec
from wrinkle.inference.predict_store import predict_store

SPEC = InputSpec(32, 0.9, 256, mean=(0.5,) * 3, std=(0.25,) * 3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(write_store(tmp_path_factory.mktemp("drawn") / "drawn.arrow", 40))


def test_rows_come_in_the_order_asked_whatever_the_batch(store: Store) -> None:
    torch.manual_seed(0)
    model = tiny().eval()
    indices = np.array([7, 3, 31, 3, 0])
    found = predict_store(model, SPEC, store, indices, mirror_average=False)
    assert found.distribution.shape == (5, 101)
    assert found.distribution.dtype == np.float32
    np.testing.assert_allclose(found.distribution.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(found.age, found.distribution @ np.arange(101), rtol=1e-5)
    np.testing.assert_array_equal(found.distribution[1], found.distribution[3])
    for batch, workers in ((1, 0), (2, 1), (5, 0)):
        again = predict_store(
            model, SPEC, store, indices, batch=batch, mirror_average=False, workers=workers
        )
        np.testing.assert_allclose(again.distribution, found.distribution, atol=1e-6)
        np.testing.assert_allclose(again.age, found.age, atol=1e-4)
    item = Faces(store, SPEC)[Draw(0, 31, 0)]
    images = SPEC.images(item.crop[None], item.matrix[None])
    alone = model.predict_all(images, item.key_points[None], False).distribution[0, 0]
    np.testing.assert_allclose(found.distribution[2], alone.detach(), atol=1e-6)


def test_every_classifier(store: Store) -> None:
    found = predict_store(tiny().eval(), SPEC, store, np.arange(3), every_classifier=True)
    assert found.distribution.shape == (3, 1, 101)
    assert found.age.shape == (3, 1)


def test_no_rows_no_predictions(store: Store) -> None:
    found = predict_store(tiny().eval(), SPEC, store, np.arange(0))
    assert (found.distribution.shape, found.age.shape) == ((0, 101), (0,))
