"""The stages in their order: what each does. `wrinkle.curation.stages.NAME` has its `run`."""

STAGES = {
    "collect": "ask the sources, and fetch every URL once",
    "faces": "find the faces of every picture",
    "deduplicate": "keep one of each group of near-identical faces",
    "coarse-label": "estimate ages with services and models",
    "push": "send faces to people, through Label Studio",
    "pull": "get people's ages from Label Studio",
    "split": "draw a training and a test part",
    "card": "write the dataset's files and its data card",
}
