"""Building a dataset: pictures from several sources → labelled, split, documented faces."""
