"""YuNet: a small, fast face detector with five key points, for a model file that the user names.

Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector. Machine Intelligence Research 20, 2023.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from wrinkle.errors import WrinkleError
from wrinkle.faces.detectors.detection import Detection, by_prominence
from wrinkle.faces.detectors.registry import DETECTORS

# Longest side given to the network, which finds faces of 10 pixels and more.
_LONGEST_SIDE = 640
_SCORE, _OVERLAP, _CANDIDATES = 0.6, 0.3, 5000


@DETECTORS.named("yunet")
class YuNet:
    """Detector over an ONNX file of YuNet, run by OpenCV on the CPU.

    Args:
        file: path of the ONNX file.

    Raises:
        WrinkleError: no such file, or one that OpenCV cannot load.
    """

    def __init__(self, device: str = "cpu", /, file: str = "") -> None:
        if not Path(file).is_file():
            raise WrinkleError(
                f"yunet needs a model file, as in yunet:FILE.onnx; there is none at {file!r}"
            )
        # OpenCV 5 warns of its own choice of a target whenever a detector is made, and logs before
        # it raises.
        level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            self._net = cv2.FaceDetectorYN.create(
                file, "", (320, 320), _SCORE, _OVERLAP, _CANDIDATES
            )
            self._find(np.zeros((64, 64, 3), np.uint8))
        except (cv2.error, SystemError) as error:
            raise WrinkleError(f"{file!r} is not a YuNet model that OpenCV can load") from error
        finally:
            cv2.utils.logging.setLogLevel(level)

    def __call__(self, images: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Find faces in (H, W, 3) uint8 RGB photographs; see `Detector`."""
        return [by_prominence(self._find(image)) for image in images]

    def _find(self, image: np.ndarray) -> list[Detection]:
        height, width = image.shape[:2]
        scale = min(1.0, _LONGEST_SIDE / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        small = image if scale == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        self._net.setInputSize(size)
        _, rows = self._net.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if rows is None:
            return []
        back = np.array([width / size[0], height / size[1]], np.float32)
        return [_detection(row, back) for row in rows]


def _detection(row: np.ndarray, back: np.ndarray) -> Detection:
    """Read one row: x, y, w, h; right eye, left eye, nose, right, left mouth corner; score.

    Right and left are the person's own, so the picture's left eye comes first, as in `Detection`.
    """
    corner, extent = row[0:2] * back, row[2:4] * back
    return Detection(
        box=np.concatenate([corner, corner + extent]).astype(np.float32),
        score=float(np.clip(row[14], 0.0, 1.0)),
        key_points=(row[4:14].reshape(5, 2) * back).astype(np.float32),
    )
