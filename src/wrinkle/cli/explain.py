"""Draw what a model's age for the most prominent face in a picture is based on.

The figure shows the network's input, the key points and the distribution over ages. For DHAA it
adds the aligned regions with their source and target points, and the age of each classifier; for
ADPF the ranked attention maps and the patches around their peaks. For a packed dataset instead of a
picture, it shows ADPF's maps and patches for several of its faces, of two models side by side with
--beside.
"""

import argparse
from pathlib import Path

from wrinkle.errors import WrinkleError, require

FORMATS = (".png", ".svg", ".pdf")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("picture", type=Path, help="a photograph, or a packed dataset (.arrow)")
    add("--model", default="default", help="a packaged model's name or a model file")
    add("--beside", metavar="MODEL", help="a second model, drawn beside it for a packed dataset")
    add("--out", type=Path, metavar="FILE", help=".png, .svg or .pdf (default: PICTURE-MODEL.png)")
    add("--faces", type=int, metavar="N", help="faces of a packed dataset (default: 8 or all)")
    add("--device", help="cpu, cuda, cuda:1 …; the GPU if there is one by default")
    add("--detector", default="mtcnn", help="mtcnn, dlib or yunet:FILE.onnx (default: mtcnn)")


def run(args: argparse.Namespace) -> int:
    out = args.out or Path(f"{args.picture.stem}-{Path(args.model).stem}.png")
    if out.suffix.lower() not in FORMATS:
        raise WrinkleError(f"{out}: a figure is a file of {', '.join(FORMATS)}")
    require("figures")
    from wrinkle.datasets.store import Store
    from wrinkle.serving.estimator import AgeEstimator
    from wrinkle.serving.explain import explain, gallery

    packed = args.picture.suffix == ".arrow"
    for option in ("faces", "beside"):
        if getattr(args, option) is not None and not packed:
            raise WrinkleError(f"--{option} is for a packed dataset; {args.picture} is a picture")
    names = [args.model, *filter(None, [args.beside])]
    estimators = {name: AgeEstimator.load(name, args.device, args.detector) for name in names}
    if packed:
        store = Store(args.picture)
        count = min(8, len(store)) if args.faces is None else args.faces
        figure = gallery(estimators, store, count)
    else:
        figure = explain(estimators[args.model], args.picture)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(out, dpi=110)
    except OSError as error:
        raise WrinkleError(f"cannot write {out}: {error.strerror or error}") from None
    print(out)
    return 0
