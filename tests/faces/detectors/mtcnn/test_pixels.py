import numpy as np

from wrinkle.faces.detectors.mtcnn.pixels import resize_box


def test_box_pixels_are_resized_and_black_outside_the_picture():
    image = np.full((40, 50, 3), 200, np.uint8)
    out = np.empty((24, 24, 3), np.uint8)
    resize_box(image, np.array([-12.0, -12, 12, 12]), out)
    assert (out[12:, 12:] == 200).all()
    assert (out[:12] == 0).all()
    assert (out[:, :12] == 0).all()
    resize_box(image, np.array([60.0, 0, 84, 24]), out)
    assert (out == 0).all()
    resize_box(image, np.array([48.0, 38, 96, 86]), out)
    assert (out[0, 0] == 200).all()
    assert (out[1:] == 0).all()
