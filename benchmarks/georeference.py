"""Pixel -> ground -> pixel on real scenes, against published pairs and against GDAL's own transformers."""

import csv
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.outcome import Outcome, shared_data
from benchmarks.workspaces import save_result
from ovd_platform.geometry.affine import crs_to_pixel
from ovd_platform.geometry.place import lonlat_to_pixel, pixel_to_lonlat
from ovd_platform.raster.scene import read_scene_record
from ovd_platform.records.scene import SceneRecord

RPC = (
    "rasters/s2p/img_01.tif",
    "rasters/shareloc/PHR1B_P_201709281038393_SEN_PRG_FC_178609-001.tif",
    "rasters/shareloc/wv3_20.NTF",
    "rasters/rioxarray_tests/test_rpcs.tif",
    "rasters/rasterio_tests/RGB.byte.rpc.vrt",
)
GCP = ("rasters/riotiler_tests/cog_gcps.tif", "sar_quadpol/s1_slc_cint16_gcps.tif", "rasters/rasterio_tests/RGB.byte.gcp.vrt")
POINTS = 200


def run(arguments: list[str]) -> list[Outcome]:
    """Measure; every figure is the largest error over all points, in pixels."""
    data = shared_data()
    trees, there_and_back, points = _trees(data / "urban_trees")
    rpc = {name: _against_rasterio(data / name) for name in RPC}
    gcp = {name: _against_rasterio(data / name) for name in GCP}
    rings = [_round_trip(read_scene_record(str(data / name), mode="sampled")) for name in (*RPC, *GCP)]
    save_result(
        "georeference",
        {
            "command": "uv run python -m benchmarks georeference",
            "urban_trees_points": points,
            "urban_trees_max_px": trees,
            "urban_trees_round_trip_px": there_and_back,
            "rpc_against_gdal_max_px": rpc,
            "gcp_against_gdal_max_px": gcp,
            "round_trip_max_px": dict(zip((*RPC, *GCP), rings, strict=True)),
        },
    )
    print(f"{points} trees; against GDAL: {json.dumps({**rpc, **gcp}, indent=1)}")
    return [
        Outcome("urban trees, published pair px", trees, 1.0, at_least=False),
        Outcome("urban trees, round trip px", there_and_back, 0.01, at_least=False),
        Outcome("RPC against rasterio px", max(rpc.values()), 0.01, at_least=False),
        Outcome("GCP against rasterio px", max(gcp.values()), 0.01, at_least=False),
        Outcome("RPC and GCP round trip px", max(rings), 0.01, at_least=False),
    ]


def _trees(folder: Path) -> tuple[float, float, int]:
    """Largest distance of a tree's published pixel (floored, so its centre) from its ground point, and of the way back."""
    worst, back, points = 0.0, 0.0, 0
    for path in sorted((folder / "images").glob("*.tif")):
        record = read_scene_record(str(path), mode="sampled")
        assert record.transform is not None
        features = json.loads((folder / "json" / f"{path.stem}.json").read_text())["features"]
        with (folder / "csv" / f"{path.stem}.csv").open() as stream:
            published = np.array([[int(row["x"]), int(row["y"])] for row in csv.DictReader(stream)], dtype=float)
        if not len(published):
            continue
        pixels = crs_to_pixel(record.transform, [feature["geometry"]["coordinates"][:2] for feature in features])
        worst = max(worst, float(np.abs(pixels - (published + 0.5)).max()))
        back = max(back, float(np.abs(lonlat_to_pixel(record, pixel_to_lonlat(record, pixels)) - pixels).max()))
        points += len(published)
    return worst, back, points


def _pixels(record: SceneRecord) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform((0, 0), (record.width_px, record.height_px), (POINTS, 2))


def _round_trip(record: SceneRecord) -> float:
    xy = _pixels(record)
    return float(np.abs(lonlat_to_pixel(record, pixel_to_lonlat(record, xy)) - xy).max())


def _against_rasterio(path: Path) -> float:
    """Largest distance in pixels between our places and GDAL's for the same pixels."""
    import rasterio
    from pyproj import Transformer
    from rasterio.transform import GCPTransformer, RPCTransformer

    record = read_scene_record(str(path), mode="sampled")
    xy = _pixels(record)
    rows, cols = xy[:, 1].tolist(), xy[:, 0].tolist()
    with rasterio.open(path) as dataset:
        if record.georeference == "rpc":
            # GDAL iterates to 0.1 px unless told otherwise.
            options = {"rpc_height": dataset.rpcs.height_off, "rpc_pixel_error_threshold": 1e-4}
            with RPCTransformer(dataset.rpcs, **options) as transformer:
                x, y = transformer.xy(rows, cols, offset="ul")
            crs = "EPSG:4326"
        else:
            points, gcp_crs = dataset.gcps
            with GCPTransformer(points, tps=len(points) >= 10) as transformer:
                x, y = transformer.xy(rows, cols, offset="ul")
            crs = gcp_crs.to_wkt()
    lon, lat = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True).transform(x, y)
    return float(np.abs(lonlat_to_pixel(record, np.stack([lon, lat], axis=1)) - xy).max())
