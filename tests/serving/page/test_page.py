"""What people do on the page, in a real Chromium; `page` also checks what it asks for."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import EXAMPLES
from tests.serving.http.live import live
from wrinkle import AgeEstimator
from wrinkle.serving.http.keys import Keys

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PORTRAIT = EXAMPLES / "grace_hopper_1984.jpg"


def upload(page: Any, *files: Path) -> None:
    page.set_input_files("#files", [str(file) for file in files])
    page.wait_for_selector("body:not(.busy)")


def answer(service: str, file: Path, *thresholds: int) -> list[dict[str, Any]]:
    found = requests.post(
        f"{service}/v1/ages",
        params={"at_least": thresholds},
        files={"pictures": file.read_bytes()},
        timeout=60,
    )
    faces: list[dict[str, Any]] = found.json()["pictures"][0]["faces"]
    return faces


def percent(chance: float) -> str:
    value = min(max(100 * chance, 0.1), 99.9)
    return f"{value:.1f}\u00a0%" if value < 5 or value > 95 else f"{value:.0f}\u00a0%"


def check_accessible(page: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = axe.run(page, options={"runOnly": rules}).response
    assert [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]] == []
    assert len(found["passes"]) > 15


def test_boxes_with_ages_are_where_the_faces_are(page: Any, service: str, two_faces: Path) -> None:
    upload(page, two_faces)
    faces = answer(service, two_faces)
    boxes = page.locator(".face")
    assert boxes.count() == len(faces) >= 2
    canvas = page.locator("#picture").bounding_box()
    scale = canvas["width"] / 960
    for number, face in enumerate(faces):
        box = boxes.nth(number).bounding_box()
        assert box["x"] - canvas["x"] == pytest.approx(face["box"][0] * scale, abs=2)
        assert box["y"] - canvas["y"] == pytest.approx(face["box"][1] * scale, abs=2)
        interval = f"{face['low']:.0f}–{face['high']:.0f}"
        assert f"{face['age']:.0f} years, 90\u00a0% interval" in boxes.nth(number).text_content()
        tag = page.locator(".tag").nth(number)
        assert tag.text_content() == f"{face['age']:.0f} {interval}"
        if number < 2:
            assert tag.is_visible()
    assert "faces in two.jpg" in page.locator("#status").text_content()


def test_a_face_is_chosen_by_keyboard(page: Any, service: str, two_faces: Path) -> None:
    upload(page, two_faces)
    first, second, *_ = answer(service, two_faces)
    assert page.locator("#age").text_content() == f"{first['age']:.0f}"
    before = page.locator("#curve .line").get_attribute("d")
    page.locator(".face").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#who").text_content().startswith("Face 2 of")
    assert page.locator("#age").text_content() == f"{second['age']:.0f}"
    assert page.locator("#curve .line").get_attribute("d") != before
    assert page.locator("tr[aria-current]").text_content().startswith("2")


def test_the_slider_shows_the_services_probability(page: Any, service: str) -> None:
    upload(page, PORTRAIT)
    (face,) = answer(service, PORTRAIT, *range(1, 101))
    slider = page.get_by_label(re.compile("Probability of"))
    for keys, threshold in (("", 18), ("ArrowRight", 19), ("End", 100), ("Home", 1)):
        if keys:
            slider.press(keys)
        chance = percent(face[f"at_least_{threshold}"])
        assert page.locator("#years").text_content() == str(threshold)
        assert page.locator("#chance").text_content() == chance
        assert chance in slider.get_attribute("aria-valuetext")
        assert f"{chance} at {threshold} or more" in page.locator("#curve").get_attribute(
            "aria-label"
        )


def test_the_curve_moves_the_threshold(page: Any) -> None:
    upload(page, PORTRAIT)
    box = page.locator("#curve").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.locator("#years").text_content() == "50"


def test_an_error_is_one_sentence_and_the_page_goes_on(page: Any) -> None:
    upload(page, EXAMPLES / "README.md")
    alert = page.get_by_role("alert")
    assert alert.text_content().startswith("README.md: is not a picture")
    assert page.locator("#result").is_hidden()
    check_accessible(page)
    upload(page, PORTRAIT)
    assert alert.is_hidden()
    assert page.locator(".face").count() == 1


def test_several_pictures_one_of_them_bad(page: Any) -> None:
    upload(page, EXAMPLES / "README.md", PORTRAIT, EXAMPLES / "joe_biden_2010.jpg")
    thumbs = page.locator(".thumb")
    assert ["can’t be used" in each for each in thumbs.all_text_contents()] == [True, False, False]
    assert thumbs.nth(1).get_attribute("aria-pressed") == "true"
    thumbs.nth(0).click()
    assert "is not a picture" in page.locator("#status").text_content()
    assert page.locator("#details").is_hidden()
    thumbs.nth(2).click()
    assert page.locator("#status").text_content() == "1 face in joe_biden_2010.jpg"
    check_accessible(page)


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_pictures_are_dropped_and_pasted(page: Any, event: str) -> None:
    page.evaluate(
        """([data, kind]) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            const moved = new DataTransfer();
            moved.items.add(new File([bytes], "moved.jpg", { type: "image/jpeg" }));
            const about = { bubbles: true, cancelable: true };
            document.body.dispatchEvent(
                kind === "drop"
                    ? new DragEvent("drop", { ...about, dataTransfer: moved })
                    : new ClipboardEvent("paste", { ...about, clipboardData: moved }),
            );
        }""",
        [base64.b64encode(PORTRAIT.read_bytes()).decode(), event],
    )
    page.wait_for_selector(".face")
    assert page.locator("#status").text_content() == "1 face in moved.jpg"


def test_a_picture_from_the_camera(page: Any) -> None:
    page.get_by_role("button", name="Camera").click()
    page.wait_for_selector("#take:enabled")
    check_accessible(page)
    page.get_by_role("button", name="Take the picture").click()
    page.wait_for_selector(".face")
    assert "in camera.jpg" in page.locator("#status").text_content()
    assert page.evaluate("document.getElementById('video').srcObject") is None


def test_a_camera_that_is_not_allowed(chromium: Any, service: str) -> None:
    opened = chromium.new_page()
    opened.goto(service)
    opened.get_by_role("button", name="Camera").click()
    opened.wait_for_selector("#error:not([hidden])", timeout=60_000)
    assert "camera" in opened.get_by_role("alert").text_content()
    opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_accessible_and_never_wider_than_the_screen(
    page: Any, two_faces: Path, width: int, scheme: str
) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    page.emulate_media(color_scheme=scheme)
    check_accessible(page)
    upload(page, two_faces, PORTRAIT)
    check_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_everything_is_reached_by_keyboard(page: Any, two_faces: Path) -> None:
    upload(page, two_faces, PORTRAIT)
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert reached >= {"skip", "files", "open-camera", "thumb", "face", "threshold"}


def test_a_picture_turned_upright(page: Any, tmp_path: Path) -> None:
    from PIL import Image

    turned = tmp_path / "turned.jpg"
    picture = Image.open(EXAMPLES / "joe_biden_2010.jpg")
    picture.transpose(Image.Transpose.ROTATE_90).save(turned, quality=95)
    upload(page, turned)
    assert "turned by 90°" in page.locator("#caption").text_content()
    size = page.evaluate("[picture.width, picture.height]")
    assert size == [picture.width, picture.height]


def test_a_key_is_asked_for(chromium: Any, estimator: AgeEstimator) -> None:
    with live(estimator, keys=Keys(["secret"])) as address:
        opened = chromium.new_page()
        opened.goto(address)
        upload(opened, PORTRAIT)
        assert "API key" in opened.get_by_role("alert").text_content()
        check_accessible(opened)
        opened.get_by_label("API key").fill("secret")
        opened.keyboard.press("Enter")
        opened.wait_for_selector(".face", timeout=60_000)
        assert opened.evaluate("localStorage.length + sessionStorage.length") == 0
        opened.close()
