import numpy as np
import pytest
import torch

from tests.tiny import tiny, write_store
from wrinkle.datasets.loader import Draw, Faces
from wrinkle.datasets.store import Store
from wrinkle.faces.align import face_input
from wrinkle.inference.predict_store import predict_store

HEADER = {"input": {"size": 32, "zoom": 0.9, "mean": [0.5] * 3, "std": [0.25] * 3}}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(write_store(tmp_path_factory.mktemp("drawn") / "drawn.arrow", 40))


def test_rows_come_in_the_order_asked_whatever_the_batch(store: Store) -> None:
    torch.manual_seed(0)
    model = tiny().eval()
    indices = np.array([7, 3, 31, 3, 0])
    whole = predict_store(model, HEADER, store, indices, mirror_average=False)
    assert whole.shape == (5, 101)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole.sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(whole[1], whole[3])
    for batch, workers in ((1, 0), (2, 1), (5, 0)):
        again = predict_store(
            model, HEADER, store, indices, batch=batch, mirror_average=False, workers=workers
        )
        np.testing.assert_allclose(again, whole, atol=1e-6)
    faces = Faces(store, 32, 0.9)
    item = faces[Draw(0, 31, 0)]
    images = face_input(item.crop[None], item.matrix[None], 32, [0.5] * 3, [0.25] * 3)
    with torch.no_grad():
        alone = model(images).logits.softmax(-1)[0]
    np.testing.assert_allclose(whole[2], alone, atol=1e-6)


def test_no_rows_no_predictions(store: Store) -> None:
    assert predict_store(tiny().eval(), HEADER, store, np.arange(0)).shape == (0, 101)
