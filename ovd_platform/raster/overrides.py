"""Facts a user adds to a raster: the `.ovd.json` file beside it, or GeoTIFF tags of the namespace OVD.

Belongs here: reading and checking those facts. Does not belong here: what the raster itself says (`metadata`).
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ovd_platform.errors import UnreadableRasterError
from ovd_platform.raster.identity import is_local, member_paths
from ovd_platform.records.scene import MODALITIES, Band, View

KEYS = (
    "modality", "instrument", "gsd_m", "bands", "view", "bits_effective", "rendered", "nodata", "crs", "transform", "height_m", "dem",
)  # fmt: skip


def overrides_path(uri: str) -> Path | None:
    """Side file of a uri: `<stem>.ovd.json` beside its first file, or, for a band stack, `<folder>.ovd.json` in its folder."""
    members = member_paths(uri)
    if not is_local(members[0]):
        return None
    first = Path(members[0])
    candidates = [first.with_name(f"{first.stem}.ovd.json")]
    if len(members) > 1:
        candidates.append(first.parent / f"{first.parent.name}.ovd.json")
    return next((path for path in candidates if path.is_file()), None)


def read_overrides(uri: str, tags: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Facts from the OVD tags and, stronger, from the side file.

    Args:
        uri: The scene.
        tags: GeoTIFF tags of the namespace OVD; values are JSON or plain text.

    Returns:
        Checked mapping with keys of `KEYS`; `bands` as `Band` records and `view` as a `View`.

    Raises:
        UnreadableRasterError: If the file is not JSON, has unknown keys, or a value of the wrong kind.
    """
    values = {key: _parsed(text) for key, text in (tags or {}).items()}
    path = overrides_path(uri)
    if path is not None:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UnreadableRasterError(f"Cannot read {path}: expected a JSON object, got {error}. Correct it.") from error
        if not isinstance(content, dict):
            raise UnreadableRasterError(f"Cannot read {path}: expected a JSON object, got {type(content).__name__}.")
        values.update(content)
    return _checked(values, str(path or uri))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _checked(values: dict[str, Any], where: str) -> dict[str, Any]:
    unknown = sorted(set(values) - set(KEYS))
    if unknown:
        raise UnreadableRasterError(f"Cannot use facts in {where}: expected keys of {list(KEYS)}, got {unknown}. Remove them.")
    checked = {key: value for key, value in values.items() if value is not None}
    if checked.get("modality", "optical") not in MODALITIES:
        raise UnreadableRasterError(f"Cannot use facts in {where}: expected optical or sar, got {checked['modality']!r}.")
    view_fields = {item.name for item in fields(View)}
    try:
        if "bands" in checked:
            checked["bands"] = tuple(Band(str(band["name"]), band.get("wavelength_um")) for band in checked["bands"])
        if "view" in checked:
            strangers = sorted(set(checked["view"]) - view_fields)
            if strangers:
                raise ValueError(f"unknown view fields {strangers}")
            checked["view"] = View(**checked["view"])
        if "transform" in checked:
            checked["transform"] = tuple(float(value) for value in checked["transform"])
        for key, kind in (
            ("bits_effective", int),
            ("gsd_m", float),
            ("height_m", float),
            ("dem", str),
            ("nodata", float),
            ("rendered", bool),
        ):
            if key in checked:
                checked[key] = kind(checked[key])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableRasterError(
            f"Cannot use facts in {where}: expected bands with names, a view object, numbers elsewhere, got {error}."
        ) from error
    return checked
