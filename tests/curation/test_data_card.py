import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from bs4 import BeautifulSoup

from tests.curation.workspaces import Picture, append, config_of, divided, labelled, some
from wrinkle.curation import data_card
from wrinkle.curation.config import Card, Split
from wrinkle.curation.data_card import (
    Facts,
    by_decade,
    clean,
    code,
    gather,
    histograms,
    plain,
    samples,
)
from wrinkle.curation.people.refine import REFINED
from wrinkle.curation.people.tasks import VOTES
from wrinkle.curation.sources import source_class
from wrinkle.curation.stages.card import write_export
from wrinkle.curation.stages.split import split
from wrinkle.curation.status import Counts
from wrinkle.curation.workspace import Workspace
from wrinkle.errors import WrinkleError

CONTACT = "someone@example.org"
HOSTILE = (
    "<script>alert(1)</script>",
    "</td></table><img src=x onerror=alert(1)>",
    '"\' onload=\'alert(1)" x="',
    "javascript:alert(1)",
    "[click](javascript:alert(1))",
    "![see](https://tracker.example/x.png)",
    "<https://tracker.example/>",
    "https://tracker.example/ www.tracker.example me@tracker.example",
    "a | b | c\n|---|---|\n| d |",
    "\n\n# Heading\n\n- item\n1. item\n> quote\n\n---\n===\n",
    "- item",
    "1) item",
    "---",
    "===",
    "+ + +",
    "<!-- hidden -->",
    "-->",
    "`code` ``more`` ```fence",
    "~~~\nfence",
    "\\",
    "a\\|b\\`c",
    "*bold* _it_ **b** ~~s~~ $x^2$ [^1] [x]: http://tracker.example",
    "{{ facts }} {% raw %} ${x} #{y}",
    "&lt;b&gt; &#60;b&#62;",
    "\u202egnp.exe\u2066\u200b\u00ad",
    "\x00\x07\x1b[31m",
    "\u2028\u2029\x85\u00a0",
    "\u202e",
    "`",
    "x" * 5000,
)
SEEN = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "b", "br", "div", "img"}
SEEN |= {"table", "tr", "th", "td", "figure", "figcaption"}


def facts_of(workspace: Workspace, refined: bool = False, **fields: Any) -> Facts:
    sections = {"card": fields, "seed": 7, "refine": {} if refined else None}
    return gather(workspace, config_of(workspace, **sections))


def hostile_facts(texts: tuple[str, ...]) -> Facts:
    """With such a text wherever there can be one."""
    first, *others = texts
    return Facts(
        card=Card(name=first, about=others[0], terms=others[-1]),
        contact=others[1 % len(others)],
        seed=0,
        made="2026-01-01",
        version="1",
        stages=[Counts("found", "URLs", 3, dict.fromkeys(texts, 1))],
        parts={"train": 3, "test": 1},
        people=2,
        decades=[("0–9", 1, 2)],
        gaps=["10–19 (0)"],
        sources=[(text, 1, text, [(text, 1), (first, 2)]) for text in texts],
        annotators=list(texts),
        voters=None,
        alpha=None,
        deviation=None,
    )


def check_page(html: str) -> BeautifulSoup:
    """Checks that the page has no script, link or outside resource; returns it."""
    for parser in ("lxml", "html.parser"):
        page = BeautifulSoup(html, parser)
        assert {tag.name for tag in page.find_all()} <= SEEN
        for tag in page.find_all():
            allowed = {"class", "charset", "name", "content", "http-equiv", "src", "alt", "lang"}
            assert set(tag.attrs) <= allowed, tag
            assert tag.get("src", "data:image/").startswith("data:image/")
            assert tag.get("alt", "A face") in ("A face", "Histograms of the ages of both parts")
        assert len(page.find_all("h1")) == 1
        assert len(page.find_all("style")) == 1
        assert "default-src 'none'" in str(page.find("meta", {"http-equiv": True}))
    return page


def marks(markdown: str) -> list[str]:
    """The characters of each line that Markdown may interpret, without code, escapes and words."""
    found = []
    for line in markdown.split("\n"):
        line = re.sub(r"\\[!-/:-@\[-`{-~]|`[^`]+`", "x", line)  # whichever comes first
        begin = re.match(r"\s*([-+=]+|\d+[.)])(\s|$)|\s{4}", line)
        found.append("".join(re.findall(r"[][<>`*_#|~!$\\]", line)) + (begin[0] if begin else ""))
    return found


@pytest.mark.parametrize("start", range(len(HOSTILE)))
def test_all_text_in_the_card_is_escaped(start: int) -> None:
    texts = (*HOSTILE[start:], *HOSTILE[:start])
    page = check_page(data_card.page(hostile_facts(texts), b"<svg/>", []))
    shown = page.get_text(" ")
    assert "<script>alert(1)</script>" in shown
    assert "[click](javascript:alert(1))" in shown
    text = data_card.readme(hostile_facts(texts))
    _, header, body = re.split(r"^---$", text, maxsplit=2, flags=re.MULTILINE)
    assert yaml.safe_load(header)["pretty_name"] == clean(texts[0])
    words = tuple(f"word{number}" for number in range(len(texts)))
    _, _, harmless = re.split(
        r"^---$", data_card.readme(hostile_facts(words)), maxsplit=2, flags=re.M
    )
    assert marks(body) == marks(harmless)
    for whole in (shown, text):
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x00\x07\x1b\u2028\u2029]", whole)


def test_the_check_finds_markup() -> None:
    for text in ("- item", "---", "1) x", "a | b", "*b*", "<!-- x -->", "![x](y)", "# h", "`"):
        assert marks(text) != marks("word")
    whole = data_card.page(hostile_facts(("word", "word")), b"<svg/>", [])
    for text in HOSTILE[:2]:
        with pytest.raises(AssertionError):
            check_page(whole.replace("word", text))


def test_text_from_sources_is_escaped(tmp_path: Path) -> None:
    fields = ("title", "creator", "licence", "query", "person", "page")
    pictures = [
        Picture(
            f"p{k}",
            (float(k),),
            **{name: HOSTILE[(k + n) % len(HOSTILE)] or "x" for n, name in enumerate(fields)},
        )
        for k in range(len(HOSTILE))
    ]
    workspace = divided(tmp_path, pictures, test=5)
    out = write_export(workspace, config_of(workspace))
    page = check_page((out / "card.html").read_text())
    captions = [caption.get_text(" ") for caption in page.select("figcaption")]
    assert len(captions) == len(pictures)
    assert any("<script>alert(1)</script>" in caption for caption in captions)
    assert max(map(len, captions)) < 3 * data_card.MAX_TEXT + 50
    assert "x" * (data_card.MAX_TEXT + 1) not in (out / "huggingface" / "README.md").read_text()


def test_markup_is_escaped() -> None:
    assert plain("2026-11-25: 4.0") == "2026-11-25: 4.0"
    assert plain("- item") == "\\- item"
    assert plain("12) item") == "12\\) item"
    assert plain("a\n b\t<c>") == "a b &lt;c&gt;"
    assert code("CC BY-SA 4.0") == "`CC BY-SA 4.0`"
    assert code("a`b|c") == "`a'b¦c`"
    assert code("\u202e") == "`?`"
    assert clean("نیم\u200cفاصله") == "نیم\u200cفاصله"
    assert clean("e\u202eno") == "eno"
    assert data_card.short("y" * 300) == "y" * 199 + "…"


def test_counts_by_hand(tmp_path: Path) -> None:
    sources = [
        *(Picture(f"w{k}", (5.0,), licence="CC BY", person=f"n{k % 2}") for k in range(3)),
        Picture("o", (15.0,), source="openverse", licence="CC0", data=b"both"),
        Picture("b", (15.0,), source="bing", data=b"both"),
        *(
            Picture(f"f{k}", (62.0,), source="folder", query="/x", url=f"file:///x/{k}.jpg")
            for k in range(4)
        ),
        Picture("old", (104.0,)),
        Picture("empty", ()),
    ]
    workspace = divided(tmp_path, sources, test=2)
    facts = facts_of(workspace)
    assert facts.parts == {"train": 7, "test": 2}
    assert facts.people == 2
    assert [(ages, train + test) for ages, train, test in facts.decades] == [
        *(("0–9", 3), ("10–19", 1), ("20–29", 0), ("30–39", 0), ("40–49", 0), ("50–59", 0)),
        *(("60–69", 4), ("70–79", 0), ("80–89", 0), ("90–99", 0), ("100–109", 1)),
    ]
    assert sum(test for _, _, test in facts.decades) == 2
    assert facts.gaps == [f"{d}–{d + 9} (0)" for d in (20, 30, 40, 50, 70, 80, 90)]
    assert facts.sources == [
        ("bing", 1, source_class("bing").rights, []),
        ("folder", 4, source_class("folder").rights, []),
        ("openverse", 1, source_class("openverse").rights, [("CC0", 1)]),
        ("wikimedia", 4, source_class("wikimedia").rights, [("CC BY", 3)]),
    ]
    assert facts.size == "7 training faces, 2 test faces, 2 people known by name"
    assert replace(facts, parts={"train": 1, "test": 1}, people=1).size == (
        "1 training face, 1 test face, 1 person known by name"
    )
    assert replace(facts, people=0, parts={"train": 1670, "test": 33}).size == (
        "1,670 training faces, 33 test faces"
    )
    assert facts.lacking.startswith("Gaps, decades with fewer than 1% of the faces: 20–29 (0), 30")
    assert replace(facts, gaps=[]).lacking == "No decade has fewer than 1% of the faces."


def test_a_gap_is_a_decade_below_a_hundredth() -> None:
    ages = np.array([5.0] * 9899 + [15.0] * 100 + [25.0] * 99)
    counts = by_decade(ages, np.full(len(ages), "train"))
    assert [train for _, train, _ in counts[:3]] == [9899, 100, 99]
    assert sum(train for _, train, _ in counts) == len(ages)


def test_the_card_states_the_source_of_ages(tmp_path: Path) -> None:
    pictures = some(4)
    workspace = divided(tmp_path, pictures)
    facts = facts_of(workspace)
    assert facts.labelling == (
        "The ages are the mean of what wrinkle and facepp say; nobody has checked them."
    )
    assert replace(facts, annotators=["wrinkle"]).labelling.startswith(
        "The ages are what wrinkle says;"
    )
    three = replace(facts, annotators=["a", "b", "c"]).labelling
    assert three.startswith("The ages are the mean of what a, b and c say;")
    votes = [
        {"face": p.face, "person": str(who), "age": 10.0 * k + who, "unusable": False, "round": 1}
        for k, p in enumerate(pictures)
        for who in (1, 3)
    ]
    append(workspace, "votes", votes, VOTES)
    refined = [
        {"face": p.face, "age": 2.0, "deviation": d}
        for p, d in zip(pictures, (1.0, 2.0, 4.5, None), strict=True)
    ]
    append(workspace, "refine", refined, REFINED)
    split(workspace, True, Split(test=1), 0)
    facts = facts_of(workspace, refined=True)
    assert (facts.voters, facts.deviation) == (2, 2.5)
    assert facts.alpha is not None
    assert facts.labelling == (
        "2 people were asked, shown what wrinkle and facepp say; the age is the robust mean of"
        " their answers, whose mean deviation is 2.5 years; Krippendorff's α is"
        f" {facts.alpha:.2f}."
    )
    assert replace(facts, voters=1, alpha=None, deviation=None).labelling == (
        "1 person was asked, shown what wrinkle and facepp say; the age is the robust mean of"
        " their answers."
    )


def test_both_cards_have_the_same_facts(tmp_path: Path) -> None:
    workspace = divided(tmp_path, some(12, licence="CC0"), test=3)
    made = {"name": "Made", "about": "For tests."}
    out = write_export(workspace, config_of(workspace, card=made, seed=7))
    page = BeautifulSoup((out / "card.html").read_text(), "lxml")
    readme = (out / "huggingface" / "README.md").read_text()
    assert "\n\n\n" not in readme
    assert not re.search(r"[^\d\s],\S", re.sub(r"\d,\d", "", page.get_text(" ")))
    for text in (
        "9 training faces, 3 test faces",
        "seed 7.",
        "For tests.",
        CONTACT,
        source_class("wikimedia").rights,
        facts_of(workspace).labelling,
        "Not stated: ask the makers of this dataset before you use it.",
    ):
        assert text in page.get_text()
        assert text in readme
    assert (
        "| wikimedia | 12 | each file's own licence, stated by Wikimedia Commons | `CC0` (12) |"
        in readme
    )
    assert "| 0–9 | " in readme
    rows = {
        row.td.text: [cell.text for cell in row.find_all("td")[1:]]
        for row in page.find_all("tr")
        if row.td
    }
    assert rows["wikimedia"] == ["12", source_class("wikimedia").rights, "CC0 (12)"]
    assert rows["split"] == ["12", "12", "0", ""]
    assert sum(int(n) for n in (*rows["0–9"], *rows["10–19"])) == 12
    header = yaml.safe_load(readme.split("---")[1])
    assert [each["split"] for each in header["configs"][0]["data_files"]] == ["train", "test"]
    for place in (out, out / "huggingface"):
        assert (place / "ages.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "ages.svg").read_text().startswith("<?xml")


def test_the_cards_own_contact_comes_first(tmp_path: Path) -> None:
    workspace = divided(tmp_path, some(3), test=1)
    assert facts_of(workspace).contact == CONTACT
    assert facts_of(workspace, contact="ask@example.org").contact == "ask@example.org"


@pytest.mark.parametrize(("count", "width"), [(30, 5), (2000, 1)])
def test_histograms_count_every_face(count: int, width: int) -> None:
    ages = np.linspace(0, 112.5, count)
    part = np.where(np.arange(count) % 5 == 0, "test", "train")
    figure = histograms(ages, part)
    for axes, name in zip(figure.axes, ("train", "test"), strict=True):
        heights = [bar.get_height() for bar in axes.patches]
        assert sum(heights) == (part == name).sum()
        assert {round(bar.get_width(), 6) for bar in axes.patches} == {width}
        assert all(tick == int(tick) for tick in axes.get_yticks())
        assert axes.get_title() == f"{name}: {(part == name).sum():,} faces"
    one = histograms(np.array([30.0, 31.0]), np.array(["train", "test"]))
    assert [axes.get_title() for axes in one.axes] == ["train: 1 face", "test: 1 face"]


def test_samples_cover_all_ages(tmp_path: Path) -> None:
    workspace = divided(tmp_path, [*some(40), *(Picture(f"old{k}", (80.0,)) for k in range(10))])
    ages = [row["age"] for row in samples(workspace, 10, 0)]
    assert ages == sorted(ages)
    assert len(ages) == 10
    assert Counter(age > 50 for age in ages)[True] == 2
    assert max(np.diff(ages[:8])) <= 5
    assert len(samples(workspace, 48, 0)) == 48
    assert len(samples(workspace, 100, 0)) == 50
    again = samples(workspace, 10, 0)
    assert [row["face"] for row in again] == [row["face"] for row in samples(workspace, 10, 0)]
    assert [row["face"] for row in again] != [row["face"] for row in samples(workspace, 10, 1)]
    assert all(row["address"].startswith("data:image/jpeg;base64,/9j/") for row in again)


def test_without_a_split_there_is_no_card(tmp_path: Path) -> None:
    workspace = labelled(tmp_path, some(3))
    with pytest.raises(WrinkleError, match="are split yet: run the earlier stages"):
        write_export(workspace, config_of(workspace))
    workspace.replace("split", _empty())
    with pytest.raises(WrinkleError, match="are split yet"):
        write_export(workspace, config_of(workspace))


def _empty() -> Any:
    import daft

    return daft.from_arrow(pa.table({"face": pa.array([], pa.string())}))
