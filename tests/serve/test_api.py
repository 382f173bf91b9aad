"""The API over a real socket: what is asked comes back, what should not pass does not."""

import io
import itertools
import json
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ovd_platform.flow import feedback
from ovd_platform.flow.workspace import Workspace


class Reply:
    def __init__(self, status: int, headers: Any, data: bytes) -> None:
        self.status, self.headers, self.data = status, headers, data

    def json(self) -> Any:
        return json.loads(self.data)

    def picture(self) -> Any:
        return cv2.imdecode(np.frombuffer(self.data, np.uint8), cv2.IMREAD_UNCHANGED)


def ask(url: str, body: Any = None, method: str | None = None, **headers: str) -> Reply:
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    named = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, named, method=method), timeout=120) as answer:
            return Reply(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return Reply(error.code, error.headers, error.read())


@pytest.fixture(scope="module")
def hits(address: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(f"{address}/api/search", {"text": "ship", "top": 30}).json()["hits"]
    return found


def test_status_says_what_can_be_asked(address: str) -> None:
    facts = ask(f"{address}/api/status").json()
    assert facts["rendered"] is True
    optical = facts["modalities"]["optical"]
    assert (optical["scenes"], optical["rendered_scenes"], optical["words"]) == (2, 2, True)
    assert optical["objects"] > 60
    assert "sar" not in facts["modalities"]


def test_words_examples_and_marks_find_ranked_answers(address: str, hits: list[dict[str, Any]]) -> None:
    assert [hit["rank"] for hit in hits] == list(range(1, len(hits) + 1))
    assert all(a["score"] >= b["score"] for a, b in itertools.pairwise(hits))
    assert "uri" not in hits[0]
    example = {"scene": hits[0]["scene_id"], "box": hits[0]["box_scene_xyxy"]}
    like = ask(f"{address}/api/search", {"examples": [example], "top": 5}).json()
    assert hits[0]["id"] in [one["id"] for one in like["hits"]]
    away = ask(f"{address}/api/search", {"text": "ship", "top": 30, "against": [example]}).json()
    assert away["hits"][0]["id"] != hits[0]["id"] or away["hits"][0]["score"] < hits[0]["score"]
    marked = {"text": "ship", "top": 30, "right": [one["id"] for one in hits[10:13]], "wrong": [one["id"] for one in hits[:3]]}
    refined = ask(f"{address}/api/search", marked).json()
    assert refined["plan"]["feedback_share"] > 0
    assert [one["id"] for one in refined["hits"]] != [one["id"] for one in hits]


def test_filters_hold(address: str, hits: list[dict[str, Any]]) -> None:
    def found(**filters: Any) -> list[dict[str, Any]]:
        reply = ask(f"{address}/api/search", {"text": "ship", "top": 100, "filters": filters})
        answers: list[dict[str, Any]] = reply.json()["hits"]
        return answers

    one = hits[0]
    lon, lat = one["lonlat"]
    small = [[lon - 1e-4, lat - 1e-4], [lon + 1e-4, lat - 1e-4], [lon + 1e-4, lat + 1e-4], [lon - 1e-4, lat + 1e-4]]
    inside = found(area=[small])
    assert one["id"] in [hit["id"] for hit in inside]
    assert all(abs(hit["lonlat"][0] - lon) <= 1e-4 and abs(hit["lonlat"][1] - lat) <= 1e-4 for hit in inside)
    assert {hit["scene_id"] for hit in found(to_utc="2024-03-01")} == {"scene_0"}
    assert found(instruments=["no-such"]) == []
    assert all(hit["score"] >= one["score"] - 0.01 for hit in found(min_score=one["score"] - 0.01))


def test_a_hit_knows_what_made_it(address: str, hits: list[dict[str, Any]]) -> None:
    facts = ask(f"{address}/api/hits/optical/{hits[0]['id']}").json()
    assert facts["scene"]["id"] == hits[0]["scene_id"]
    assert {"tiles", "proposals", "embeddings"} <= set(facts["lineage"]["stages"])
    assert "uri" not in facts["lineage"]["scene"]
    similar = ask(f"{address}/api/similar/optical/{hits[0]['id']}?top=5").json()["hits"]
    assert len(similar) == 5
    assert hits[0]["id"] not in [one["id"] for one in similar]
    assert ask(f"{address}/api/hits/optical/nothing:of:the:kind").status == 404


def test_scenes_are_listed_with_footprints_and_filtered(address: str) -> None:
    everything = ask(f"{address}/api/scenes").json()
    assert everything["total"] == 2
    first = everything["scenes"][0]
    west, south, east, north = first["bounds_lonlat"]
    assert first["rendered"] is True
    assert len(first["footprint_lonlat"]) >= 4
    assert ask(f"{address}/api/scenes?bbox={west},{south},{east},{north}").json()["total"] == 1
    assert ask(f"{address}/api/scenes?from=2024-03-02").json()["total"] == 1
    assert ask(f"{address}/api/scenes?instrument=none").json()["total"] == 0
    assert ask(f"{address}/api/scenes?bbox=1,2,3").status == 400


def test_tiles_crops_and_map_are_pictures(address: str, hits: list[dict[str, Any]]) -> None:
    scene = ask(f"{address}/api/scenes/scene_0").json()
    base = f"{address}/api/scenes/scene_0"
    native = ask(f"{base}/tiles/{scene['max_zoom']}/0/0?v={scene['version']}")
    assert native.picture().shape[:2] == (256, 256)
    assert "immutable" in native.headers["Cache-Control"]
    assert "immutable" not in ask(f"{base}/tiles/0/0/0").headers["Cache-Control"]
    assert ask(f"{base}/tiles/{scene['max_zoom']}/1/1").picture().shape[:2] == (128, 128)
    assert ask(f"{base}/tiles/9/0/0").status == 404
    box = ",".join(map(str, hits[0]["box_scene_xyxy"]))
    assert ask(f"{base}/crop?box={box}&size=100").picture().shape[:2] == (100, 100)
    assert ask(f"{base}/crop?box=5,5,5,9").status == 400
    assert max(ask(f"{base}/thumbnail?size=200").picture().shape[:2]) == 192
    assert ask(f"{address}/api/map/optical/3/0/0").picture()[..., 3].max() == 0


def test_marks_are_kept_as_records(address: str, searchable: Workspace, hits: list[dict[str, Any]]) -> None:
    question = {"text": "ship"}
    for verdict in ("right", "wrong"):
        assert ask(f"{address}/api/feedback", {"id": hits[5]["id"], "verdict": verdict, "ask": question}).status == 200
    kept = feedback.marks(searchable, "optical")
    assert [(one.proposal_id, one.verdict) for one in kept[-2:]] == [(hits[5]["id"], "right"), (hits[5]["id"], "wrong")]
    assert kept[-1].question == question
    assert list(kept[-1].box_scene_xyxy) == hits[5]["box_scene_xyxy"]
    assert ask(f"{address}/api/search", {"text": "ship"}).json()["verdicts"][hits[5]["id"]] == "wrong"
    ask(f"{address}/api/feedback", {"id": hits[5]["id"], "verdict": "none", "ask": question})
    assert feedback.last_verdicts(searchable, "optical", "ship") == {}
    assert len(ask(f"{address}/api/feedback/optical").json()["marks"]) == len(kept) + 1


def test_a_class_is_kept_with_its_marks_and_forgotten(address: str, hits: list[dict[str, Any]]) -> None:
    question = {"text": "ship", "right": [hits[0]["id"], hits[1]["id"]], "wrong": [hits[2]["id"]]}
    kept = ask(f"{address}/api/classes", {"name": "odd ship", "ask": question, "watch": True})
    assert kept.status == 200, kept.data
    listed = ask(f"{address}/api/classes/optical").json()["classes"]
    assert [(one["name"], one["right"], one["wrong"], one["watch"]) for one in listed] == [("odd ship", 2, 1, True)]
    assert listed[0]["examples"][0]["scene"] == hits[0]["scene_id"]
    assert ask(f"{address}/api/alerts/optical").json() == {"alerts": []}, "nobody looked for it yet"
    assert ask(f"{address}/api/classes", {"name": "../up", "ask": question}).status == 400
    assert ask(f"{address}/api/classes/optical/odd%20ship", method="DELETE").status == 200
    assert ask(f"{address}/api/classes/optical").json()["classes"] == []


def test_answers_leave_as_files(address: str, hits: list[dict[str, Any]]) -> None:
    question = {"text": "ship", "top": 30}
    chosen = [hits[3]["id"], hits[1]["id"]]
    geo = ask(f"{address}/api/export", {"format": "geojson", "ask": question, "ids": chosen}).json()
    assert [one["id"] for one in geo["features"]] == [hits[1]["id"], hits[3]["id"]]
    assert geo["features"][0]["properties"]["rendered"] is True
    coco = ask(f"{address}/api/export", {"format": "coco", "ask": question})
    assert 'filename="ship-coco.json"' in coco.headers["Content-Disposition"]
    values = coco.json()
    assert len(values["annotations"]) == len(hits)
    assert values["info"]["question"]["text"] == "ship"
    assert {one["image_id"] for one in values["annotations"]} <= {one["id"] for one in values["images"]}
    pack = ask(f"{address}/api/export", {"format": "evidence", "ask": question, "ids": chosen})
    with zipfile.ZipFile(io.BytesIO(pack.data)) as archive:
        names, facts = archive.namelist(), json.loads(archive.read("evidence.json"))
        page = archive.read("index.html").decode()
        heat = cv2.imdecode(np.frombuffer(archive.read("01/heat.png"), np.uint8), cv2.IMREAD_COLOR)
    assert {"01/crop.png", "01/tile.png", "02/crop.png", "01/similar_1.png"} <= set(names)
    assert [one["id"] for one in facts["answers"]] == [hits[1]["id"], hits[3]["id"]]
    assert facts["answers"][0]["lineage"]["stages"]["embeddings"]["version"]
    assert facts["answers"][0]["heat"]["highest"] > facts["answers"][0]["heat"]["lowest"]
    assert heat.std() > 5
    assert "Rendered imagery" in page
    assert ask(f"{address}/api/export", {"format": "geojson", "ask": question, "ids": ["other"]}).status == 404


def test_an_uploaded_chip_is_an_example(address: str, searchable: Workspace, chip: Path) -> None:
    taken = ask(f"{address}/api/uploads", chip.read_bytes(), Content_Type="image/png")
    assert taken.status == 200, taken.data
    name = taken.json()["upload"]
    assert (taken.json()["width_px"], taken.json()["bands"]) == (48, ["red", "green", "blue"])
    kept = {one.name for one in (searchable.home.root / "uploads").iterdir()}
    assert f"{name}.tif" in kept
    assert not [one for one in kept if one.endswith(".bin")], "the bytes that came must not stay"
    assert len(ask(f"{address}/api/search", {"examples": [{"upload": name}], "top": 7}).json()["hits"]) == 7
    assert ask(f"{address}/api/uploads/{name}").picture().shape[:2] == (48, 48)
    assert ask(f"{address}/api/search", {"examples": [{"upload": "0" * 16}]}).status == 404


def test_twelve_bits_of_an_upload_stay_twelve_bits(address: str, searchable: Workspace, tmp_path: Path) -> None:
    import rasterio

    values = np.random.default_rng(1).integers(0, 4096, (1, 40, 50), dtype=np.uint16)
    with rasterio.open(
        tmp_path / "pan.tif", "w", driver="GTiff", width=50, height=40, count=1, dtype="uint16", NBITS=12
    ) as out:
        out.write(values)
    taken = ask(f"{address}/api/uploads", (tmp_path / "pan.tif").read_bytes(), Content_Type="image/tiff").json()
    with rasterio.open(searchable.home.root / "uploads" / f"{taken['upload']}.tif") as kept:
        assert np.array_equal(kept.read(), values)
    assert taken["instrument"] == "opt-1x12"


def _picture(kind: str, width: int, height: int) -> bytes:
    return cv2.imencode(kind, np.zeros((height, width, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 400, "got none"),
        (b"hello", 422, "PNG, JPEG, TIFF"),
        (b'<VRTDataset rasterXSize="9" rasterYSize="9"><SourceFilename>/etc/passwd</SourceFilename></VRTDataset>', 422, "PNG"),
        (b"\x89PNG\r\n\x1a\n<VRTDataset rasterXSize='1'/>", 422, "PNG"),
        (_picture(".png", 64, 64)[:60], 422, "the example"),
        (_picture(".jpg", 64, 64)[:400], 422, "the example"),
        (_picture(".png", 3000, 3000), 400, "4 Mpx"),
    ],
    ids=["empty", "text", "vrt", "vrt-in-png", "cut-off-png", "cut-off-jpeg", "too-large"],
)
def test_hostile_uploads_are_refused_and_leave_nothing(
    address: str, searchable: Workspace, data: bytes, status: int, words: str
) -> None:
    before = sorted((searchable.home.root / "uploads").glob("*")) if (searchable.home.root / "uploads").exists() else []
    reply = ask(f"{address}/api/uploads", data, Content_Type="application/octet-stream")
    assert (reply.status, set(reply.json())) == (status, {"error", "message"})
    assert words in reply.json()["message"]
    assert sorted((searchable.home.root / "uploads").glob("*")) == before


def test_a_tiff_that_points_elsewhere_is_refused(address: str, tmp_path: Path) -> None:
    import rasterio

    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", width=9, height=9, count=1, dtype="uint8") as out:
        out.write(np.ones((1, 9, 9), np.uint8))
        out.update_tags(ns="OVD", dem="/etc/passwd")
    reply = ask(f"{address}/api/uploads", (tmp_path / "a.tif").read_bytes(), Content_Type="image/tiff")
    assert reply.status == 400
    assert "OVD tags" in reply.json()["message"]


def test_few_bytes_that_unpack_to_gigabytes_are_refused(address: str, tmp_path: Path) -> None:
    import rasterio

    with rasterio.open(
        tmp_path / "bomb.tif",
        "w",
        driver="GTiff",
        width=1900,
        height=1900,
        count=200,
        dtype="float32",
        sparse_ok=True,
        tiled=True,
    ):
        pass
    data = (tmp_path / "bomb.tif").read_bytes()
    assert len(data) < 4_000_000
    reply = ask(f"{address}/api/uploads", data, Content_Type="image/tiff")
    assert reply.status == 400
    assert "2888 MB in 200 bands" in reply.json()["message"]


@pytest.mark.parametrize(
    "path",
    ["/api/scenes/..%2f..%2fovd.yaml", "/api/scenes/%2e%2e/thumbnail", "/..%2f..%2fpyproject.toml", "/assets/..%2f..%2f..%2fserver.py",
     "/api/uploads/..%2f..%2fovd", "/api/nothing"],
)  # fmt: skip
def test_no_path_leads_out(address: str, path: str) -> None:
    reply = ask(f"{address}{path}")
    assert reply.status in (404, 422)
    assert b"import" not in reply.data
    assert b"tiles:" not in reply.data


@pytest.mark.parametrize(
    "body",
    [{}, {"text": "a", "texty": 1}, {"text": "x" * 500}, {"text": "a", "top": 0}, {"examples": [{"scene": "../x", "box": [0, 0, 9, 9]}]},
     {"examples": [{"scene": "scene_0"}]}, {"text": "a", "filters": {"area": [[[0, 0], [1, 1]]]}}, {"text": "a", "modality": "x"}],
)  # fmt: skip
def test_wrong_questions_are_named(address: str, body: dict[str, Any]) -> None:
    reply = ask(f"{address}/api/search", body)
    assert reply.status in (400, 422)
    assert reply.json()["message"].startswith("Cannot ")
    assert "expected" in reply.json()["message"]


def test_the_page_and_the_description_are_served(address: str) -> None:
    page = ask(f"{address}/")
    assert page.status == 200
    assert "text/html" in page.headers["Content-Type"]
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    described = ask(f"{address}/api/openapi.json").json()
    assert {"/api/search", "/api/scenes/{scene_id}/tiles/{z}/{x}/{y}", "/api/export"} <= set(described["paths"])
    assert "Loading the description" in ask(f"{address}/api/docs").data.decode()
