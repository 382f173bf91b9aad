"""Captions of figures by a local vision-language model. Belongs here: asking it; its words stand beside the document's, never instead.

Off unless configured. Any OpenAI-compatible endpoint will do (a chat completion with an image), or any command that reads a PNG from its
standard input and writes words to its standard output.
"""

import http.client
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovd_platform.documents.image_statistics import unit_image
from ovd_platform.documents.pair_images import read_image
from ovd_platform.errors import ResourceError, StaleError, UnreadableDocumentError
from ovd_platform.records.pair import Pair

DEFAULT_PROMPT = "Describe this figure of a report in one or two plain sentences. Name what can be seen, not what may be meant."
_LONGEST_SIDE_PX = 1024
_MOST_LETTERS = 2000
_GIVE_UP_AFTER = 5

Ask = Callable[[bytes], str]
"""PNG -> words; raises `ResourceError`."""


@dataclass(frozen=True, slots=True)
class MachineCaption:
    """What a model said about a figure.

    Attributes:
        pair_id: The figure.
        text: Its words; "" if there are none.
        model: Who said it.
        seconds: How long it took.
        error: Why there are no words; "" if there are.
    """

    pair_id: str
    text: str
    model: str
    seconds: float
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)


def ask_endpoint(url: str, model: str, *, prompt: str = DEFAULT_PROMPT, timeout_s: float = 60.0, key_variable: str = "") -> Ask:
    """A model behind an OpenAI-compatible endpoint.

    Args:
        url: Base, up to and with ``/v1``; ``/chat/completions`` is added.
        model: Its name there.
        prompt: What to ask.
        timeout_s: Wall time for an answer.
        key_variable: Environment variable that holds the key; "" for none.
    """
    target = url.rstrip("/") + "/chat/completions"

    def ask(png: bytes) -> str:
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + b64encode(png).decode()}}
        order = {
            "model": model,
            "max_tokens": 200,
            "temperature": 0,
            "messages": [{"role": "user", "content": [{"type": "text", "text": prompt}, picture]}],
        }
        headers = {"Content-Type": "application/json"}
        if key_variable:
            headers["Authorization"] = f"Bearer {os.environ.get(key_variable, '')}"
        request = urllib.request.Request(target, json.dumps(order).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as reply:
                answer = json.loads(reply.read())
            return str(answer["choices"][0]["message"]["content"])
        except TimeoutError as error:
            raise _no_answer(
                target, f"none within {timeout_s:g} s", "Raise captioner.timeout_s or use a faster model."
            ) from error
        except urllib.error.HTTPError as error:
            raise _no_answer(
                target, f"HTTP {error.code}: {error.read()[:120].decode(errors='replace')}", "See the server's log."
            ) from error
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError) as error:
            slow = isinstance(getattr(error, "reason", None), TimeoutError)
            what = f"none within {timeout_s:g} s" if slow else str(getattr(error, "reason", error))
            raise _no_answer(target, what, "Is the server up?") from error
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise _no_answer(
                target, f"another shape ({type(error).__name__}: {error})", "Does it speak the OpenAI protocol?"
            ) from error

    return ask


def ask_command(command: Sequence[str], *, timeout_s: float = 60.0) -> Ask:
    """A model behind a command that reads a PNG and writes words.

    Args:
        command: Program and arguments; no shell.
        timeout_s: Wall time for an answer.
    """
    name = " ".join(command)

    def ask(png: bytes) -> str:
        try:
            done = subprocess.run(list(command), input=png, capture_output=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired as error:
            raise _no_answer(
                name, f"none within {timeout_s:g} s", "Raise captioner.timeout_s or use a faster model."
            ) from error
        except OSError as error:
            raise _no_answer(name, str(error), "Check captioner.command.") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise _no_answer(
                name, f"exit code {done.returncode}: {said[-1] if said else 'no message'}", "Run it by hand on one picture."
            )
        return done.stdout.decode(errors="replace")

    return ask


def _no_answer(who: str, got: str, remedy: str) -> ResourceError:
    return ResourceError(f"Cannot caption a figure with {who}: expected words, got {got}. {remedy}")


def caption_figures(
    pairs: Sequence[Pair], images_dir: Path, ask: Ask, model: str, progress: Callable[[int, int, str], None] | None = None
) -> list[MachineCaption]:
    """Ask a model about figures, one after the other; a figure it fails on is recorded with the reason.

    After five failures in a row the rest is recorded as not asked: a server that is down must not cost a time-out per figure.

    Args:
        pairs: Figures.
        images_dir: Root of the extracted images.
        ask: The model.
        model: Its name, kept with its words.
        progress: Told (done, total, what).

    Returns:
        One caption a pair, in order.
    """
    found: list[MachineCaption] = []
    failures, last = 0, ""
    for done, pair in enumerate(pairs, start=1):
        if failures >= _GIVE_UP_AFTER:
            found.append(
                MachineCaption(pair.pair_id, "", model, 0.0, f"not asked: {failures} failures in a row. The last: {last}")
            )
            continue
        started = time.monotonic()
        try:
            words = " ".join(ask(_png(read_image(images_dir / pair.image_path))).split())[:_MOST_LETTERS]
            if not words:
                raise _no_answer(model, "an empty answer", "Try another prompt or model.")
            last, failures = "", 0
        except (ResourceError, StaleError, UnreadableDocumentError) as error:
            words, last = "", str(error)
            failures += isinstance(error, ResourceError)
        found.append(MachineCaption(pair.pair_id, words, model, round(time.monotonic() - started, 3), last))
        if progress is not None:
            progress(done, len(pairs), "captions")
    return found


def _png(array: NDArray[Any]) -> bytes:
    """Eight-bit PNG of at most 1,024 px a side."""
    import cv2

    rgb = np.rint(unit_image(array) * 255).astype(np.uint8)
    scale = _LONGEST_SIDE_PX / max(rgb.shape[:2])
    if scale < 1:
        rgb = np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return bytes(cv2.imencode(".png", rgb[:, :, ::-1])[1].tobytes())
