"""Captions by a model behind a stub server or a command; failures are named and cost one figure each."""

import json
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import imagecodecs
import pytest

from ovd_platform.documents.pair_images import write_image
from ovd_platform.documents.vision_captions import ask_command, ask_endpoint, caption_figures
from ovd_platform.records.pair import Pair
from tests.documents.conftest import chip


class _Model(BaseHTTPRequestHandler):
    """Answers with the size of the picture; odd models answer oddly."""

    def do_POST(self) -> None:
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text, picture = order["messages"][0]["content"]
        pixels = imagecodecs.png_decode(b64decode(picture["image_url"]["url"].partition(",")[2]))
        answers = {
            "good": json.dumps(
                {"choices": [{"message": {"content": f" {text['text']}  {pixels.shape[1]} x {pixels.shape[0]}\n"}}]}
            ),
            "other": json.dumps({"result": "a ship"}),
            "empty": json.dumps({"choices": [{"message": {"content": "  "}}]}),
        }
        if order["model"] == "slow":
            time.sleep(1.0)
        self.server.calls += 1  # type: ignore[attr-defined]
        self.server.keys.append(self.headers.get("Authorization"))  # type: ignore[attr-defined]
        body = answers.get(order["model"], "").encode()
        try:
            self.send_response(503 if order["model"] == "down" else 200)
            self.end_headers()
            self.wfile.write(body or b"no memory left")
        except BrokenPipeError:
            pass

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    made = HTTPServer(("127.0.0.1", 0), _Model)
    made.calls, made.keys = 0, []  # type: ignore[attr-defined]
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def figures(tmp_path: Path) -> list[Pair]:
    pairs = []
    for number in range(8):
        write_image(tmp_path / "doc" / f"{number}.png", chip(number))
        pairs.append(Pair(str(number), "doc", "v", 0, (0.0, 0.0, 9.0, 9.0), f"doc/{number}.png", "Words of the document"))
    return pairs


def base(server: HTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}/v1"


def test_a_server_is_asked_about_every_figure(
    server: HTTPServer, figures: list[Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVD_TEST_KEY", "secret")
    ask = ask_endpoint(base(server), "good", prompt="What is this?", key_variable="OVD_TEST_KEY")
    found = caption_figures(figures[:2], tmp_path, ask, "good")
    height, width = chip(0).shape[:2]
    assert [item.text for item in found] == [f"What is this? {width} x {height}"] * 2
    assert [item.error for item in found] == ["", ""]
    assert server.keys == ["Bearer secret"] * 2  # type: ignore[attr-defined]
    assert figures[0].caption == "Words of the document"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("down", "HTTP 503: no memory left"),
        ("other", "another shape"),
        ("empty", "an empty answer"),
        ("slow", "none within 0.3 s"),
    ],
)
def test_a_bad_answer_is_named(server: HTTPServer, figures: list[Pair], tmp_path: Path, model: str, words: str) -> None:
    found = caption_figures(figures[:1], tmp_path, ask_endpoint(base(server), model, timeout_s=0.3), model)
    assert found[0].text == ""
    assert words in found[0].error
    assert found[0].error.startswith("Cannot caption a figure with")


def test_a_dead_server_is_not_asked_for_ever(server: HTTPServer, figures: list[Pair], tmp_path: Path) -> None:
    found = caption_figures(figures, tmp_path, ask_endpoint(base(server), "down"), "down")
    assert server.calls == 5  # type: ignore[attr-defined]
    assert len(found) == len(figures)
    assert found[-1].error.startswith("not asked: 5 failures in a row")


def test_a_command_may_answer(figures: list[Pair], tmp_path: Path) -> None:
    script = "import sys; data = sys.stdin.buffer.read(); print('a picture of', data[1:4].decode())"
    found = caption_figures(figures[:1], tmp_path, ask_command([sys.executable, "-c", script]), "script")
    assert found[0].text == "a picture of PNG"
    broken = caption_figures(
        figures[:1], tmp_path, ask_command([sys.executable, "-c", "raise SystemExit('no weights')"]), "script"
    )
    assert "exit code 1: no weights" in broken[0].error
    absent = caption_figures(figures[:1], tmp_path, ask_command(["/nowhere/model"]), "script")
    assert "Check captioner.command" in absent[0].error


def test_an_image_that_is_gone_costs_one_figure(server: HTTPServer, figures: list[Pair], tmp_path: Path) -> None:
    (tmp_path / figures[0].image_path).unlink()
    found = caption_figures(figures[:2], tmp_path, ask_endpoint(base(server), "good"), "good")
    assert "Extract its document again" in found[0].error
    assert found[1].text
