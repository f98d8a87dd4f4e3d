"""lap-2015 and lap-2016: the parts of the ChaLearn LAP challenges on apparent age.

The part is the first folder of a picture's name: train/, validation/ or test/. APPA-REAL has the
pictures and the parts of 2016, with real ages beside the apparent ones. There are no
identities.

Source: Escalera et al., "ChaLearn Looking at People 2015: apparent age and cultural event
recognition", ICCV Workshops 2015, and "ChaLearn Looking at People and Faces of the World", CVPR
Workshops 2016; Agustsson et al., "Apparent and real age estimation in still images with deep
residual regressors on APPA-REAL database", FG 2017.
"""

from dataclasses import replace

import pyarrow as pa

from wrinkle.errors import WrinkleError
from wrinkle.protocols.fold import Fold
from wrinkle.protocols.listed import listed
from wrinkle.protocols.protocol import PROTOCOLS, Protocol, Sizes

_LETTERS = {"train": "t", "validation": "v", "test": "e"}


@PROTOCOLS.named("lap-2015")
def lap_2015() -> Protocol:
    """The challenge of 2015."""
    return _by_folder("lap-2015", "ChaLearn LAP 2015", "ICCV Workshops 2015", (2_476, 1_136, 1_079))


@PROTOCOLS.named("lap-2016")
def lap_2016() -> Protocol:
    """The challenge of 2016, and APPA-REAL."""
    return _by_folder(
        "lap-2016",
        "ChaLearn LAP 2016, or APPA-REAL",
        "CVPR Workshops 2016; Agustsson et al., FG 2017",
        (4_113, 1_500, 1_978),
    )


def _by_folder(name: str, title: str, source: str, sizes: Sizes) -> Protocol:
    protocol = listed(
        name=name,
        description=f"{title}: the challenge's train, validation and test",
        source=f"Escalera et al., {source}",
        checksum=None,
        dataset="lap2015",
        shares_people=None,
        sizes={name: sizes},
        letters=lambda picture: _LETTERS.get(picture.partition("/")[0]),
    )

    def split(table: pa.Table) -> list[Fold]:
        (fold,) = protocol.folds(table)
        for part, size in zip(_LETTERS, sizes, strict=True):
            rows = len(getattr(fold, part))
            # Names are the same in both releases, sizes are not.
            if rows > size:
                raise WrinkleError(
                    f"{rows:,} {part} rows, but {title} has {size:,}: is it the other one?"
                )
        return [fold]

    return replace(protocol, folds=split)
