"""Estimate ages for other programs and for browsers: an HTTP service with a page.

Pictures are posted to /v1/ages; / is a page to try it; /health, /metrics and /openapi.json are for
the machines that operate it. It logs a JSON object per request on standard output, stores nothing
and fetches nothing. Ctrl-C or SIGTERM ends it after the requests that have begun. With keys in the
environment variable WRINKLE_API_KEYS, requests must send one of them.
"""

import argparse

from wrinkle.cli.options import at_least
from wrinkle.errors import WrinkleError, require

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", default="default", help="a packaged model's name or a model file")
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    add("--port", type=int, default=8000, help="port to listen on (default: 8000)")
    add("--batch", type=at_least(1), default=32, help="pictures in a batch (default: 32)")
    add("--min-face", type=float, metavar="PIXELS", help="smallest face (default: 20)")
    add("--min-score", type=float, metavar="SCORE", help="smallest score (default: 0.9)")
    add("--device", help="cpu, cuda, cuda:1 …; the GPU if there is one by default")
    add("--detector", default="mtcnn", help="mtcnn, dlib or yunet:FILE.onnx (default: mtcnn)")
    limits = parser.add_argument_group("limits")
    for name, unit, default, text in (
        ("megabytes", "MB", 32, "of a request"),
        ("megapixels", "N", 50, "of a picture"),
        ("faces", "N", 100, "of a picture, most prominent first"),
        ("requests", "N", 256, "at a time"),
        ("queue", "N", 256, "pictures that wait"),
        ("seconds", "S", 30, "to receive a request, and again to compute it"),
    ):
        limits.add_argument(
            f"--max-{name}",
            type=at_least(1),
            default=default,
            metavar=unit,
            help=f"{text} (default: {default})",
        )


def run(args: argparse.Namespace) -> int:
    require("serve")
    from wrinkle.console import note, say
    from wrinkle.serving.estimator import AgeEstimator
    from wrinkle.serving.http import server
    from wrinkle.serving.http.app import create_app
    from wrinkle.serving.http.keys import VARIABLE, Keys
    from wrinkle.serving.http.limits import MEGABYTE, MEGAPIXEL, Limits
    from wrinkle.serving.http.logs import write_logs

    if not 0 <= args.port < 1 << 16:
        raise WrinkleError(f"--port is {args.port}: give one from 0 to 65535")
    keys = Keys.from_environment()
    limits = Limits(
        args.max_megabytes * MEGABYTE,
        args.max_megapixels * MEGAPIXEL,
        args.max_faces,
        args.max_requests,
        args.max_queue,
        args.max_seconds,
    )
    with server.listen(args.host, args.port) as listening:
        estimator = AgeEstimator.load(
            args.model,
            args.device,
            args.detector,
            args.min_face,
            args.min_score,
            max_faces=limits.faces,
        )
        write_logs()
        if args.host not in LOOPBACK and not keys:
            note(f"everyone who reaches {args.host} may use it: set {VARIABLE} to require a key")
        host = f"[{args.host}]" if ":" in args.host else args.host
        say(f"http://{host}:{listening.getsockname()[1]}: pictures to /v1/ages; Ctrl-C ends it")
        server.run(create_app(estimator, limits, keys, args.batch), listening, limits.seconds)
    return 0
