"""Vendor metadata: what side files say ends up in the record and in the STAC item; what nobody says stays unknown."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pystac
import pytest

from ovd_platform.raster.georeference import read_rpc_text
from ovd_platform.raster.scene import read_scene_record
from ovd_platform.raster.sidecars import sidecars_of
from ovd_platform.records.scene import SceneRecord
from ovd_platform.stores.catalogue import read_entry, stac_item, write_entry

MakeTif = Callable[..., Path]
PIXELS = np.full((1, 40, 50), 900, np.uint16)

IMD = """version = "R";\nBEGIN_GROUP = IMAGE_1\n\tsatId = "WV03";\n\tfirstLineTime = 2021-05-04T10:11:12.123456Z;
\tmeanSunAz = 150.5;\n\tmeanSunEl = 55.25;\n\tmeanSatAz = 201.0;\n\tmeanOffNadirViewAngle = 17.5;\n\tcloudCover = 0.03;\nEND_GROUP\n"""
DIMAP = """<Dimap_Document><MISSION>PHR</MISSION><MISSION_INDEX>1B</MISSION_INDEX><NBITS>12</NBITS><Located_Geometric_Values>
<LOCATION_TYPE>Top Center</LOCATION_TYPE><SUN_ELEVATION>1</SUN_ELEVATION></Located_Geometric_Values><Located_Geometric_Values>
<LOCATION_TYPE>Center</LOCATION_TYPE><TIME>2020-07-01T09:08:07.5Z</TIME><SUN_AZIMUTH>140.0</SUN_AZIMUTH>
<SUN_ELEVATION>60.0</SUN_ELEVATION><VIEWING_ANGLE>12.5</VIEWING_ANGLE><AZIMUTH_ANGLE>190.0</AZIMUTH_ANGLE>
</Located_Geometric_Values></Dimap_Document>"""
MTL = """GROUP = L1\n DATE_ACQUIRED = 2019-03-02\n SCENE_CENTER_TIME = "10:20:30.1234560Z"\n SPACECRAFT_ID = "LANDSAT_8"
 SUN_AZIMUTH = 145.0\n SUN_ELEVATION = 33.0\n CLOUD_COVER = 12.5\nEND_GROUP = L1\n"""
S1 = """<product><adsHeader><missionId>S1A</missionId><polarisation>VH</polarisation><startTime>2022-01-02T03:04:05.6</startTime>
</adsHeader><generalAnnotation><pass>Descending</pass></generalAnnotation><incidenceAngleMidSwath>38.9</incidenceAngleMidSwath>
</product>"""
S2 = """<n1:Tile xmlns:n1="x"><TILE_ID>S2B_OPER_MSI</TILE_ID><SENSING_TIME>2023-06-05T10:00:00Z</SENSING_TIME><Mean_Sun_Angle>
<ZENITH_ANGLE>25.0</ZENITH_ANGLE><AZIMUTH_ANGLE>151.0</AZIMUTH_ANGLE></Mean_Sun_Angle></n1:Tile>"""
STAC = {
    "type": "Feature", "stac_version": "1.0.0", "properties": {
        "datetime": "2024-02-03T04:05:06Z", "view:sun_azimuth": 100.0, "view:off_nadir": 9.0, "sat:orbit_state": "ascending",
        "sar:observation_direction": "left", "eo:cloud_cover": 50, "platform": "somesat-1",
    },
}  # fmt: skip


def test_maxar(make_tif: MakeTif) -> None:
    path = make_tif(PIXELS)
    before = read_scene_record(str(path))
    assert before.view.acquired_utc is None
    path.with_suffix(".IMD").write_text(IMD)
    record = read_scene_record(str(path))
    view = record.view
    assert (view.platform, view.sun_azimuth_deg, view.sun_elevation_deg) == ("worldview-3", 150.5, 55.25)
    assert (view.view_azimuth_deg, view.off_nadir_deg, view.cloud_fraction) == (201.0, 17.5, 0.03)
    assert view.acquired_utc == "2021-05-04T10:11:12.123456+00:00"
    assert record.version != before.version, "a side file that is read is part of the scene's version"


def test_airbus_takes_the_centre_and_the_bits(make_tif: MakeTif) -> None:
    path = make_tif(PIXELS, "IMG_PHR1B_P_1_R1C1.TIF")
    (path.parent / "DIM_PHR1B_P_1.XML").write_text(DIMAP)
    record = read_scene_record(str(path))
    assert (record.view.platform, record.view.sun_elevation_deg, record.view.off_nadir_deg) == ("pleiades-1b", 60.0, 12.5)
    assert (record.bits_effective, record.bits_declared, record.instrument) == (12, True, "opt-1x12")


def test_landsat_and_sentinel_2(make_tif: MakeTif) -> None:
    landsat = make_tif(PIXELS, "LC08_X_B4.TIF")
    (landsat.parent / "LC08_X_MTL.txt").write_text(MTL)
    view = read_scene_record(str(landsat)).view
    assert (view.platform, view.cloud_fraction, view.sun_elevation_deg) == ("landsat-8", 0.125, 33.0)
    assert view.acquired_utc == "2019-03-02T10:20:30.123456+00:00"
    sentinel = make_tif(PIXELS, "T32_B04.tif")
    (sentinel.parent / "MTD_TL.xml").write_text(S2)
    view = read_scene_record(str(sentinel)).view
    assert (view.platform, view.sun_elevation_deg, view.sun_azimuth_deg) == ("sentinel-2b", 65.0, 151.0)


def test_sentinel_1_safe_and_its_stac_item(make_tif: MakeTif, tmp_path: Path) -> None:
    for folder in ("measurement", "annotation"):
        (tmp_path / folder).mkdir()
    path = make_tif(PIXELS, "measurement/s1a-iw-grd-vh-20220102.tiff")
    (tmp_path / "annotation" / "s1a-iw-grd-vh-20220102.xml").write_text(S1)
    record = read_scene_record(str(path))
    assert (record.modality, record.bands[0].name, record.view.look) == ("sar", "vh", "right")
    assert (record.view.orbit, record.view.incidence_deg, record.view.platform) == ("descending", 38.9, "sentinel-1a")
    item = stac_item({"record": record.to_dict(), "source_uri": record.uri, "archive": None, "registered_utc": "2024-01-01"})
    facts = pystac.Item.from_dict(item).properties
    assert facts["sar:polarizations"] == ["VH"]
    assert (facts["sat:orbit_state"], facts["view:incidence_angle"]) == ("descending", 38.9)


def test_a_stac_item_beside_a_raster_is_read_and_a_label_file_is_not(make_tif: MakeTif) -> None:
    path = make_tif(PIXELS)
    path.with_suffix(".json").write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    assert sidecars_of(str(path)) == []
    path.with_suffix(".json").write_text(json.dumps(STAC))
    view = read_scene_record(str(path)).view
    assert (view.platform, view.look, view.orbit, view.cloud_fraction) == ("somesat-1", "left", "ascending", 0.5)


@pytest.mark.parametrize("text", ["", "<xml", "meanSunEl = -999;\nfirstLineTime = whenever;", "\x00\x01"])
def test_unreadable_metadata_cost_nothing_but_themselves(make_tif: MakeTif, text: str) -> None:
    path = make_tif(PIXELS)
    path.with_suffix(".IMD").write_text(text)
    path.with_suffix(".xml").write_text(text)
    record = read_scene_record(str(path))
    assert (record.view.acquired_utc, record.view.sun_elevation_deg) == (None, None)


def test_user_facts_override_and_bits_are_container_until_counted(make_tif: MakeTif) -> None:
    path = make_tif(PIXELS)
    path.with_suffix(".IMD").write_text(IMD)
    assert read_scene_record(str(path)).bits_declared is False
    path.with_name("scene.ovd.json").write_text(json.dumps({"view": {"off_nadir_deg": 3.0}, "bits_effective": 12}))
    record = read_scene_record(str(path))
    assert (record.view.off_nadir_deg, record.view.sun_elevation_deg, record.bits_declared) == (3.0, 55.25, True)


def test_catalogue_entries_are_stac_items_and_round_trip(make_tif: MakeTif, tmp_path: Path) -> None:
    record = read_scene_record(str(make_tif(PIXELS)))
    entry = {
        "record": record.to_dict(),
        "source_uri": record.uri,
        "archive": None,
        "registered_utc": "2024-01-01T00:00:00+00:00",
    }
    path = write_entry(tmp_path / "catalog" / "s.json", entry)
    assert SceneRecord.from_dict(read_entry(path)["record"]) == record
    item = pystac.Item.from_file(str(path))
    assert item.properties["proj:code"] == "EPSG:32631"
    assert item.bbox is not None
    assert item.bbox[0] < item.bbox[2]
    assert item.assets["pixels"].extra_fields["raster:bands"][0]["data_type"] == "uint16"
    plain = tmp_path / "old.json"
    plain.write_text(json.dumps(entry))
    assert read_entry(plain)["source_uri"] == record.uri, "entries of older workspaces are read as well"


def test_rpc_side_files_in_both_spellings() -> None:
    listed = ", ".join(str(index / 10) for index in range(20))
    rpb = f"IMAGE\n errBias = 1.5;\n lineOffset = 100;\n lineScale = 50.5;\n lineNumCoef = (\n {listed});\n"
    assert (read_rpc_text(rpb)["LINE_OFF"], read_rpc_text(rpb)["ERR_BIAS"]) == ("100", "1.5")
    assert read_rpc_text(rpb)["LINE_NUM_COEFF"].count(",") == 19
    text = "LINE_OFF: +100.00 pixels\n" + "\n".join(f"LINE_NUM_COEFF_{i + 1}: {i}.5" for i in reversed(range(20)))
    assert read_rpc_text(text)["LINE_OFF"] == "+100.00"
    assert read_rpc_text(text)["LINE_NUM_COEFF"].split()[:2] == ["0.5", "1.5"]
