"""Evaluate systems on a packed dataset: MAE, CS(5), bias, ε-error and coverage of intervals, over
all faces and by age decade, gender and group, with 95 % intervals. Faces of which only a range is
known are scored by themselves: in the range, within one group of it, distance to it. Several
systems are compared on the faces that all of them have.

A system is a model, or a CSV or Parquet file of predictions (columns name and predicted; low and
high if it has 90 % intervals). Without --split all faces are used; a line states how many of them a
model was trained on.
"""

import argparse
from pathlib import Path

from wrinkle.cli.options import add_split, at_least
from wrinkle.errors import WrinkleError

CHALLENGES = range(18, 31)
"""Years: challenge ages of --challenge."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("systems", nargs="+", metavar="system", help="packaged model, model file, .csv or .parquet")
    add("store", help="a file made by `wrinkle prepare`")
    add_split(parser, "all")
    add("--predictions", type=Path, metavar="FILE", help="write them: .csv or, in full, .parquet")
    add("--classifiers", action="store_true", help="MAE of each classifier of a model as well")
    add("--challenge", action="store_true", help="age assurance: who passes at 18, 19, … 30 years")
    add("--device", help="cpu, cuda, cuda:1 …; the GPU if there is one by default")
    add("--batch", type=at_least(1), default=64, help="faces per step (default: 64)")
    add("--workers", type=at_least(0), default=1, help="processes that decode faces (default: 1)")


def run(args: argparse.Namespace) -> int:
    from wrinkle.console import count, say
    from wrinkle.datasets.store import Store
    from wrinkle.evaluation import evaluate, write_predictions
    from wrinkle.evaluation.assurance import challenge_table
    from wrinkle.evaluation.prediction_files import check_predictions_output
    from wrinkle.evaluation.predictions import in_common
    from wrinkle.evaluation.range_scores import range_comparison, range_table
    from wrinkle.evaluation.scores import classifier_table, comparison_table, score_table

    if args.predictions is not None and len(args.systems) > 1:
        raise WrinkleError("--predictions writes the predictions of one system: name only one")
    if len(set(args.systems)) < len(args.systems):
        raise WrinkleError("a system is named twice: name each once")
    if args.predictions is not None:
        check_predictions_output(args.predictions, [*args.systems, args.store])
    if args.split == "all" and (args.protocol or args.fold):
        raise WrinkleError("--protocol and --fold choose faces with --split: add --split test")
    store = Store(args.store)
    options = ("split", "protocol", "fold", "device", "batch", "workers")
    found = [
        evaluate(system, store, **{name: getattr(args, name) for name in options})
        for system in args.systems
    ]
    if args.predictions is not None:
        write_predictions(args.predictions, found[0].predictions)
    for each in found:
        predictions = each.predictions
        if len(found) > 1:
            print(f"\n{predictions.system}")
        if each.trained_on:
            print(
                f"{predictions.system} was trained on {each.trained_on:,} of these"
                f" {len(predictions.predicted):,} faces: its errors there are too small."
            )
        if predictions.left_out:
            print(
                "Left out: predictions of pictures that `wrinkle prepare` dropped"
                f" ({predictions.left_out:,})."
            )
        tables = [score_table(predictions, each.scores)] if each.scores else []
        if each.range_scores:
            tables.append(range_table(predictions, each.range_scores))
        print("\n\n".join(tables))
        if args.classifiers and each.classifiers and each.scores:
            print(classifier_table(each.classifiers, predictions.actual))
        elif args.classifiers and not each.classifiers:
            print(f"{predictions.system} has one classifier only.")
        if each.people is not None:
            print(f"People in training and test: {each.people}.")
        if args.challenge:
            print("\n" + challenge_table(predictions, CHALLENGES))
    if len(found) > 1:
        shared = in_common([each.predictions for each in found])
        if len(shared[0].exact().predicted):
            print("\n" + comparison_table(shared))
        if len(shared[0].ranged().predicted):
            print("\n" + range_comparison(shared))
    if args.predictions is not None:
        written = len(found[0].predictions.predicted)
        say(f"wrote {args.predictions}: {count(written, 'prediction')}")
    return 0
