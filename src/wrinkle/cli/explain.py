"""Draw how a model comes to the age of the most prominent face in a picture.

The face as the network sees it, its key points and the distribution over ages; for DHAA also the
aligned regions with their source and target points, and what each of its classifiers says.
"""

import argparse
from pathlib import Path

from wrinkle.errors import WrinkleError

FORMATS = (".png", ".svg", ".pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("picture", type=Path, help="a photograph")
    add("--model", default="default", help="a packaged model's name or a model file")
    add("--out", type=Path, metavar="FILE", help=".png, .svg or .pdf (default: PICTURE-MODEL.png)")
    add("--device", help="cpu, cuda, cuda:1 …; the GPU if there is one by default")
    add("--detector", default="mtcnn", help="mtcnn, dlib or yunet:FILE.onnx (default: mtcnn)")


def run(args: argparse.Namespace) -> int:
    out = args.out or Path(f"{args.picture.stem}-{Path(args.model).stem}.png")
    if out.suffix.lower() not in FORMATS:
        raise WrinkleError(f"{out}: a figure is a file of {', '.join(FORMATS)}")
    try:
        from wrinkle.serving.explain import explain
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        raise WrinkleError(f"{missing} is missing: pip install 'wrinkle[figures]'") from None
    from wrinkle.serving.estimator import AgeEstimator

    figure = explain(AgeEstimator.load(args.model, args.device, args.detector), args.picture)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=110)
    except OSError as error:
        raise WrinkleError(f"cannot write {out}: {error.strerror or error}") from None
    print(out)
    return 0
