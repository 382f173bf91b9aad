"""Chromium driven over its debugging socket: enough to use the search page as a person does.

Belongs here: starting the browser, keys, pointer, files, pictures, what it complains of. Does not belong here: what is looked at.
"""

import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--use-angle=swiftshader", "--hide-scrollbars",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--remote-debugging-port=0", "--remote-allow-origins=*",
)  # fmt: skip
_KEYS = {
    "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9, "Home": 36, "End": 35, "Backspace": 8,
}  # fmt: skip
_PATIENCE_S = 40.0


def find_chromium() -> str | None:
    """Path of Chromium or Chrome, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


class Chromium:
    """One page in one browser.

    Attributes:
        complaints: Console errors and warnings, uncaught exceptions, failed requests since the start.
        downloads: Folder where files land.
    """

    def __init__(self, width: int = 1280, height: int = 860) -> None:
        browser = find_chromium()
        if browser is None:
            raise RuntimeError("Cannot drive a browser: expected Chromium or Chrome on the PATH, found neither. Install one.")
        self._folder = Path(tempfile.mkdtemp(prefix="ovd-chromium-"))
        self.downloads = self._folder / "downloads"
        self.downloads.mkdir()
        profile = self._folder / "profile"
        command = [browser, *_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.complaints: list[str] = []
        self._number = 0
        self._socket: Any = self._connect(profile / "DevToolsActivePort")
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.send(f"{domain}.enable")
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.downloads))
        self.resize(width, height)

    def _connect(self, port_file: Path) -> Any:
        from websockets.sync.client import connect

        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            if port_file.is_file() and (lines := port_file.read_text().splitlines()):
                with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json/list", timeout=10) as answer:
                    pages = [one for one in json.load(answer) if one["type"] == "page"]
                if pages:
                    return connect(pages[0]["webSocketDebuggerUrl"], max_size=None, compression=None)
            time.sleep(0.1)
        raise RuntimeError("Cannot drive Chromium: expected its debugging port, got none. Try again.")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call the browser; returns its result."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=_PATIENCE_S))
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result
            self._hear(message)

    def _hear(self, message: dict[str, Any]) -> None:
        values = message.get("params", {})
        if message.get("method") == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
            self.complaints.append(
                f"console.{values['type']}: {[one.get('value', one.get('description')) for one in values['args']]}"
            )
        elif message.get("method") == "Runtime.exceptionThrown":
            details = values["exceptionDetails"]
            self.complaints.append(f"exception: {details['text']} {details.get('exception', {}).get('description', '')}")
        elif message.get("method") == "Log.entryAdded" and values["entry"]["level"] == "error":
            self.complaints.append(f"log: {values['entry']['text']} {values['entry'].get('url', '')}")
        elif message.get("method") == "Network.requestWillBeSent":
            url = values["request"]["url"]
            if not url.startswith(("http://127.0.0.1", "blob:", "data:", "about:")):
                self.complaints.append(f"outside request: {url}")

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window, CSS pixels."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def connection(self, *, latency_ms: float = 0.0, offline: bool = False) -> None:
        """Slow the connection down or cut it; without arguments it is as it was."""
        self.send(
            "Network.emulateNetworkConditions",
            offline=offline,
            latency=latency_ms,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )

    def open(self, url: str) -> None:
        """Load an address."""
        self.send("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """What an expression of the page yields; promises are awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails'].get('exception', {}).get('description')}")
        return answer["result"].get("value")

    def wait(self, expression: str, patience_s: float = _PATIENCE_S) -> Any:
        """Wait until an expression is true; returns its value.

        Raises:
            TimeoutError: With the expression and what the browser complained of.
        """
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            if found := self.value(expression):
                return found
            time.sleep(0.05)
        raise TimeoutError(
            f"the page never came to {expression}; it shows {self.value('document.body.innerText')[:600]!r}; {self.complaints}"
        )

    def click(self, selector: str) -> None:
        """Click the middle of an element with the pointer."""
        x, y = self._middle(selector)
        self.pointer("mousePressed", x, y)
        self.pointer("mouseReleased", x, y)

    def _middle(self, selector: str) -> tuple[float, float]:
        x, y = self.wait(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); if (!one || one.disabled) return null;"
            " one.scrollIntoView({block: 'center'}); const box = one.getBoundingClientRect();"
            " return box.width ? [box.x + box.width / 2, box.y + box.height / 2] : null; })()"
        )
        return x, y

    def pointer(self, kind: str, x: float, y: float) -> None:
        """One event of the left button: ``mousePressed``, ``mouseMoved``, ``mouseReleased``."""
        self.send(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button="left",
            buttons=0 if kind == "mouseReleased" else 1,
            clickCount=1,
        )

    def drag(self, selector: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Drag inside an element, from and to fractions of its size."""
        left, top, width, height = self.wait(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); if (!one) return null; const box ="
            " one.getBoundingClientRect(); return [box.x, box.y, box.width, box.height]; })()"
        )
        points = [(left + width * x, top + height * y) for x, y in (start, end)]
        self.pointer("mousePressed", *points[0])
        for share in (0.3, 0.7, 1.0):
            self.pointer("mouseMoved", *(a + share * (b - a) for a, b in zip(*points, strict=True)))
        self.pointer("mouseReleased", *points[1])

    def write(self, selector: str, text: str) -> None:
        """Replace the text of a field."""
        self.wait(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)}); one?.focus(); one?.select(); return !!one; }})()"
        )
        if text:
            self.send("Input.insertText", text=text)
        else:
            self.press("Backspace")

    def press(self, key: str) -> None:
        """Press a key: a letter, or a name of `_KEYS`."""
        code = _KEYS.get(key, ord(key.upper()) if len(key) == 1 else 0)
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def choose_file(self, selector: str, path: Path) -> None:
        """Give a file to a file field."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def downloaded(self, patience_s: float = _PATIENCE_S) -> Path:
        """The newest finished download; waits for one that was not seen before."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            found = [
                one
                for one in self.downloads.iterdir()
                if not one.name.endswith((".crdownload", ".tmp")) and not one.name.startswith(".")
            ]
            if found:
                newest = max(found, key=lambda one: one.stat().st_mtime_ns)
                kept = self._folder / f"{time.monotonic_ns()}-{newest.name}"
                newest.replace(kept)
                return kept
            self.value("1")
            time.sleep(0.1)
        raise TimeoutError(f"no download came; the page shows {self.value('document.body.innerText')[:600]!r}")

    def screenshot(self, path: Path) -> Path:
        """Keep a picture of the window."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))
        return path

    def close(self) -> None:
        """End the browser and remove its files."""
        try:
            self.send("Browser.close")
        except Exception:  # it may be gone already
            self._process.kill()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        """The browser itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End it."""
        self.close()
