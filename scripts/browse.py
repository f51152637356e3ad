"""Look at the built site, at a training's report and at the example that serves a detector, in a headless Chromium.

    make site && python scripts/browse.py
    python scripts/browse.py --pictures docs/images      # takes the screenshots of the pages, too

Of the site every page is opened from the file system, as wide as a desk and as a phone: nothing may be asked of a
network, no script may fail, no page may be wider than the window, every picture must be there, and a search must find.
The report is that of a training of half a minute; it must be whole in the same way.
The example must draw the astronaut's box when her photograph is dropped, and say why it refuses a text.
It needs the extras docs and serve, and a Chromium; where there is none it says so and ends with status 0.
"""

import argparse
import contextlib
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from playwright.sync_api import Browser, Page, sync_playwright

from chainfpn.data import photograph_path, weights_path

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples"))

from serve_onnx import serving  # noqa: E402

SITE = ROOT / "build" / "site"
SIZES = {"desk": (1280, 800), "phone": (390, 844)}
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

#: In the page: what is wrong with how it looks.
LOOK = """() => {
    const found = [];
    const wide = document.documentElement.scrollWidth;
    if (wide > innerWidth) found.push(`is ${wide} pixels wide in a window of ${innerWidth}`);
    for (const { complete, naturalWidth, src } of document.images)
        if (complete && !naturalWidth) found.push(`lacks the picture ${src}`);
    return found;
}"""
#: In the page: a drop of a file, as a hand would do it.
DROP = """([bytes, name, type]) => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(bytes)], name, { type }));
    const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
    document.getElementById("drop").dispatchEvent(event);
}"""


@contextlib.contextmanager
def opened(browser: Browser, size: str, schemes: tuple[str, ...]) -> Iterator[tuple[Page, list[str]]]:
    """Open a window; give it, and the list that its problems come into."""
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height})
    problems: list[str] = []

    def asked(request):
        if not request.url.startswith(schemes):
            problems.append(f"asks for {request.url}")

    page.on("request", asked)
    page.on("pageerror", lambda error: problems.append(f"has a script that fails: {error}"))
    yield page, problems
    page.close()


def look_at_site(browser: Browser, pictures: pathlib.Path | None) -> list[str]:
    """Open every page in both sizes, and search; return what is wrong."""
    wrong = []
    pages = sorted(path for path in SITE.rglob("*.html") if path.name != "404.html")
    for size in SIZES:
        with opened(browser, size, ("file:", "data:", "blob:")) as (page, problems):
            for path in pages:
                page.goto(path.as_uri())
                problems += page.evaluate(LOOK)
                wrong += [f"{path.relative_to(SITE)} ({size}) {problem}" for problem in problems]
                problems.clear()
    with opened(browser, "desk", ("file:", "data:", "blob:")) as (page, problems):
        if pictures is not None:
            page.goto((SITE / "how_it_works.html").as_uri())
            page.screenshot(path=pictures / "site.jpg", type="jpeg", quality=50)
        page.goto((SITE / "index.html").as_uri())
        page.click(".md-search__input")
        page.keyboard.type("roi_align")
        with contextlib.suppress(Exception):
            page.wait_for_selector(".md-search-result__item a[href*=roi_ops]", timeout=20000)
        if not page.locator(".md-search-result__item a[href*=roi_ops]").count():
            wrong.append("the search does not find roi_align")
        wrong += [f"the search {problem}" for problem in problems]
    print(f"site: {len(pages)} pages")
    return wrong


def look_at_report(browser: Browser, pictures: pathlib.Path | None) -> list[str]:
    """Train the bundled detector on shapes for a few epochs, and open the report; return what is wrong."""
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "shapes"
        data = ["--data", "shapes:48", "--validation", "shapes:8:1", "--epochs", "5", "--lr", "0.01", "--out", out]
        model = ("depth=18", "stages=[1,2,3]", "fpn_channels=128", "head_channels=256", "min_size=64")
        options = [*data, "--weights", weights_path(), *(f"--set={option}" for option in model)]
        subprocess.run([sys.executable, "-m", "chainfpn", "train", *options], check=True, capture_output=True)
        for size in SIZES:
            with opened(browser, size, ("file:", "data:")) as (page, problems):
                page.goto((out / "report.html").as_uri())
                if pictures is not None and size == "desk":
                    clip = {"x": 0, "y": 0, "width": SIZES[size][0], "height": 1040}  # losses and AP
                    page.screenshot(path=pictures / "report.jpg", type="jpeg", quality=50, clip=clip, full_page=True)
                wrong += [f"the report ({size}) {problem}" for problem in [*problems, *page.evaluate(LOOK)]]
    print("report: looked at")
    return wrong


def look_at_example(browser: Browser, pictures: pathlib.Path | None) -> list[str]:
    """Drop a photograph and a text; return what is wrong."""
    wrong = []
    photograph = pathlib.Path(photograph_path())
    with serving(weights_path()) as address:
        for size in SIZES:
            with opened(browser, size, (address, "data:", "blob:")) as (page, problems):
                page.goto(address)
                page.evaluate(DROP, [list(photograph.read_bytes()), "astronaut.jpg", "image/jpeg"])
                page.wait_for_selector("#list li", timeout=60000)
                box = page.locator("#boxes rect").first.bounding_box()
                if page.locator("#list li").first.inner_text()[:6] != "person" or box["height"] < 0.9 * box["width"]:
                    problems.append("does not show the astronaut")
                if pictures is not None and size == "phone":
                    clip = {"x": 0, "y": 0, "width": SIZES[size][0], "height": 640}
                    page.screenshot(path=pictures / "serve.jpg", type="jpeg", quality=60, clip=clip)
                page.evaluate(DROP, [list(b"no picture"), "text.txt", "text/plain"])
                page.wait_for_selector("#message.refused", timeout=60000)
                if "no picture" not in page.locator("#message").inner_text():
                    problems.append("does not say why it refuses a text")
                wrong += [f"the example ({size}) {problem}" for problem in [*problems, *page.evaluate(LOOK)]]
    print("example: looked at")
    return wrong


def main() -> int:
    """Look at all, print what is wrong, return the status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=pathlib.Path, metavar="DIR", help="where screenshots go")
    arguments = parser.parse_args()
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        print(f"not looked at, for none of these is here: {', '.join(NAMES)}")
        return 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        looks = (look_at_site, look_at_report, look_at_example)
        wrong = [problem for look in looks for problem in look(browser, arguments.pictures)]
        browser.close()
    print(*wrong, sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
