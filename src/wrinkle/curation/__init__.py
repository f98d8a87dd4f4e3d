"""Building a dataset: pictures from anywhere → labelled, split, documented faces."""
