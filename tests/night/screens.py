"""What staff see of the night: the dashboard in a real Chromium, in the dark."""

import shutil
from pathlib import Path
from types import TracebackType
from typing import Self

from playwright.sync_api import Error, Page, sync_playwright

from accounts.models import User

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PASSWORD = "a long password"


class Screens:
    """A phone and a desktop on the dashboard. They stay open and are pushed to, as at night."""

    def __init__(self, url: str, staff: User, event: str, folder: Path) -> None:
        """`event` is the address part of the event."""
        self.url, self.staff, self.event, self.folder = url, staff, event, folder
        self.problems: list[str] = []
        self.taken: list[Path] = []

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell"), args=ARGUMENTS
        )
        self.pages = {"phone": self._open(390, 844), "desktop": self._open(1280, 900)}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._browser.close()
        self._playwright.stop()

    def _open(self, width: int, height: int) -> Page:
        """Sign staff in, and open the page of the event."""
        page = self._browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark",
            locale="en",
            reduced_motion="reduce",
        )
        page.goto(f"{self.url}/admin/login/?next=/staff/")
        page.fill("[name=username]", str(self.staff.phone))
        page.fill("[name=password]", PASSWORD)
        page.click("[type=submit]")
        page.wait_for_load_state()
        link = page.locator(f"a[href*='/staff/'][href*='{self.event}']")
        if "/staff/" not in page.url or not link.count():
            self.problems.append(f"the dashboard shows no event (at {page.url})")
        else:
            link.first.click()
            page.wait_for_load_state()
        return page

    def take(self, moment: str, *screens: str) -> None:
        """Keep what these screens show now, as `night-<moment>-<screen>.png`."""
        for screen in screens:
            path = self.folder / f"night-{moment}-{screen}.png"
            try:
                self.pages[screen].screenshot(path=path, timeout=10_000)
            except Error as error:
                self.problems.append(f"no screenshot {path.name}: {error}")
            else:
                self.taken.append(path)
