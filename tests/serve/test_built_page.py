"""The committed page is the one its sources build, asks nobody but its server, and carries the licences of what it bundles."""

import hashlib
import re
from pathlib import Path

from ovd_platform.serve.application import PAGE

SOURCES = PAGE.parent
PUBLISHED = ("index.html", "api.html", "package-lock.json", "public", "src", "tsconfig.json", "vite.config.ts")


def test_dist_was_built_from_these_sources() -> None:
    names = []
    for name in PUBLISHED:
        path = SOURCES / name
        names += [name] if path.is_file() else [one.relative_to(SOURCES).as_posix() for one in path.rglob("*") if one.is_file()]
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\0".encode() + (SOURCES / name).read_bytes() + b"\0")
    built = (PAGE / "built-from.txt").read_text().strip()
    assert built == digest.hexdigest(), f"rebuild the page: cd {SOURCES} && npm ci && npm run build"


def test_every_asset_of_the_page_is_there() -> None:
    for page in ("index.html", "api.html"):
        wanted = re.findall(r'(?:src|href)="(/[^"]+)"', (PAGE / page).read_text())
        assert wanted
        assert all((PAGE / name.lstrip("/")).is_file() for name in wanted)
    size = sum(one.stat().st_size for one in PAGE.rglob("*") if one.is_file())
    assert size < 3_000_000


def test_what_is_bundled_is_licensed() -> None:
    text = (PAGE / "LICENSES.txt").read_text()
    for name in ("maplibre-gl", "openseadragon", "preact"):
        assert re.search(rf"^{name} \S+ \(", text, re.M)


def test_the_lock_names_no_registry() -> None:
    assert '"resolved"' not in Path(SOURCES / "package-lock.json").read_text()
