// Answers and footprints on a map made of the scenes alone: no tile server, no network beyond this one.

import { useEffect, useRef, useState } from "preact/hooks";
import type { GeoJSONSource, Map as MapLibreMap, StyleSpecification } from "maplibre-gl";
import type { Hit, LonLat, Modality, Scene } from "./api";
import type { Search } from "./useSearch";

interface Props { modality: Modality; scenes: Scene[]; hits: Hit[]; selected: number; select: (index: number) => void; search: Search }
type Features = { type: "FeatureCollection"; features: object[] };

const dark = () => window.matchMedia("(prefers-color-scheme: dark)").matches;
const collection = (features: object[]): Features => ({ type: "FeatureCollection", features });
const ringOf = (ring: LonLat[]) => (ring.length ? [[...ring, ring[0]!]] : []);
// A ring over the antimeridian goes on beyond 180 degrees; otherwise its edges would run around the globe.
const unwrapped = (ring: LonLat[]): LonLat[] => ring.map(([lon, lat]) => [lon - 360 * Math.round((lon - ring[0]![0]) / 360), lat]);
type Bounds = [number, number, number, number];
// One box around all, the short way around the globe.
function around(bounds: Bounds[]): Bounds {
  const wide = (turn: boolean): Bounds => {
    const moved = bounds.map(([w, s, e, n]): Bounds => { const east = e < w ? e + 360 : e; return turn && w < 0 ? [w + 360, s, east + 360, n] : [w, s, east, n]; });
    return [Math.min(...moved.map((b) => b[0])), Math.min(...moved.map((b) => b[1])), Math.max(...moved.map((b) => b[2])), Math.max(...moved.map((b) => b[3]))];
  };
  const [plain, turned] = [wide(false), wide(true)];
  return turned[2] - turned[0] < plain[2] - plain[0] ? turned : plain;
}

function style(modality: Modality): StyleSpecification {
  const empty = collection([]) as never;
  return {
    version: 8,
    sources: {
      scenes: { type: "raster", tiles: [`${location.origin}/api/map/${modality}/{z}/{x}/{y}`], tileSize: 256, maxzoom: 22 },
      footprints: { type: "geojson", data: empty }, hits: { type: "geojson", data: empty }, area: { type: "geojson", data: empty },
    },
    layers: [
      { id: "ground", type: "background", paint: { "background-color": dark() ? "#1c232b" : "#dfe5ea" } },
      { id: "scenes", type: "raster", source: "scenes", minzoom: 6, paint: { "raster-fade-duration": 0 } },
      { id: "footprint", type: "line", source: "footprints", paint: { "line-color": dark() ? "#8fb8de" : "#0b5cad", "line-width": 1.5 } },
      { id: "area-fill", type: "fill", source: "area", paint: { "fill-color": "#ffb000", "fill-opacity": 0.15 } },
      { id: "area-line", type: "line", source: "area", paint: { "line-color": "#c76f00", "line-width": 2 } },
      { id: "hits", type: "circle", source: "hits", paint: {
        "circle-radius": ["case", ["get", "selected"], 9, 6], "circle-stroke-width": 2, "circle-stroke-color": "#10151a",
        "circle-color": ["match", ["get", "verdict"], "right", "#3fb950", "wrong", "#e5534b", "#ffd60a"] } },
    ],
  };
}

export function MapView({ modality, scenes, hits, selected, select, search }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const map = useRef<MapLibreMap | null>(null);
  const [ready, setReady] = useState(false);
  const [problem, setProblem] = useState("");
  const [ring, setRing] = useState<LonLat[] | null>(null);
  const drawing = useRef(false);
  drawing.current = ring !== null;
  const chosen = useRef(select);
  chosen.current = select;
  const placed = scenes.filter((scene) => scene.footprint_lonlat.length > 2);

  useEffect(() => {
    let gone = false;
    setReady(false);
    Promise.all([import("maplibre-gl"), import("maplibre-gl/dist/maplibre-gl-worker.mjs?url"), import("maplibre-gl/dist/maplibre-gl.css")]).then(([gl, worker]) => {
      if (gone || !place.current) return;
      gl.setWorkerUrl(worker.default);
      const made = new gl.Map({ container: place.current, style: style(modality), attributionControl: false, center: [0, 20], zoom: 1, maxZoom: 23 });
      map.current = made;
      made.addControl(new gl.NavigationControl({ visualizePitch: false }));
      made.addControl(new gl.ScaleControl({}));
      made.on("load", () => { if (!gone) setReady(true); });
      made.on("error", (event) => setProblem(event.error.message));
      made.on("click", "hits", (event) => { const index = event.features?.[0]?.properties["index"]; if (!drawing.current && typeof index === "number") chosen.current(index); });
      made.on("click", (event) => { if (drawing.current) setRing((before) => [...(before ?? []), [event.lngLat.wrap().lng, event.lngLat.lat]]); });
      made.on("mouseenter", "hits", () => { made.getCanvas().style.cursor = "pointer"; });
      made.on("mouseleave", "hits", () => { made.getCanvas().style.cursor = ""; });
    }).catch((error: Error) => setProblem(`Cannot show the map: expected WebGL, got: ${error.message}. Use a browser with WebGL; the other views work.`));
    return () => { gone = true; map.current?.remove(); map.current = null; };
  }, [modality]);

  const put = (name: string, features: object[]) => (map.current?.getSource(name) as GeoJSONSource | undefined)?.setData(collection(features) as never);
  useEffect(() => {
    if (!ready) return;
    put("footprints", placed.map((scene) => ({ type: "Feature", properties: { id: scene.id }, geometry: { type: "Polygon", coordinates: ringOf(unwrapped(scene.footprint_lonlat)) } })));
  }, [ready, scenes]);
  useEffect(() => {
    if (!ready) return;
    put("hits", hits.flatMap((hit, index) => (hit.lonlat ? [{ type: "Feature", properties: { index, selected: index === selected, verdict: search.marks.get(hit.id) ?? "none" }, geometry: { type: "Point", coordinates: hit.lonlat } }] : [])));
  }, [ready, hits, selected, search.marks]);
  useEffect(() => {
    if (!ready) return;
    const shown = unwrapped(ring ?? search.ask.filters.area?.[0] ?? []);
    put("area", shown.length > 2 ? [{ type: "Feature", properties: {}, geometry: { type: "Polygon", coordinates: ringOf(shown) } }] : shown.length ? [{ type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: shown } }] : []);
  }, [ready, ring, search.ask.filters.area]);

  const fit = (bounds: Bounds[]) => {
    if (!bounds.length) return;
    map.current?.fitBounds(around(bounds), { padding: 48, maxZoom: 18, duration: 0 });
  };
  const hit = hits[selected];
  const here = placed.find((scene) => scene.id === hit?.scene_id);
  useEffect(() => {
    if (!ready) return;
    const bounds = hits.flatMap((one) => (one.lonlat ? [[one.lonlat[0], one.lonlat[1], one.lonlat[0], one.lonlat[1]] as Bounds] : []));
    fit(bounds.length ? bounds : placed.flatMap((scene) => (scene.bounds_lonlat ? [scene.bounds_lonlat] : [])));
  }, [ready, hits.length > 0, placed.length]);

  const useArea = () => {
    if (ring && ring.length > 2) search.run({ filters: { ...search.ask.filters, area: [ring] } });
    setRing(null);
  };
  const outside = scenes.length - placed.length;
  return (
    <div class="map-view">
      <div class="row tools-row">
        <button onClick={() => fit(placed.flatMap((scene) => (scene.bounds_lonlat ? [scene.bounds_lonlat] : [])))}>All scenes</button>
        {here?.bounds_lonlat && <button onClick={() => fit([here.bounds_lonlat!])}>Scene of answer {hit!.rank}</button>}
        {ring === null ? <button onClick={() => setRing([])}>Draw an area</button>
          : <><span class="hint">Click its corners ({ring.length})</span><button class="main" disabled={ring.length < 3} onClick={useArea}>Search in it</button><button onClick={() => setRing(null)}>Cancel</button></>}
        {search.ask.filters.area && ring === null && <button onClick={() => { const { area: _, ...rest } = search.ask.filters; search.run({ filters: rest }); }}>Remove the area</button>}
      </div>
      {problem && <p role="alert" class="problem">{problem}</p>}
      <div ref={place} class="map" data-ready={ready} role="region" aria-label="Map of scenes and answers" />
      <p class="hint">{placed.length} scenes with a place on Earth{outside ? `, ${outside} without (see Scenes)` : ""}. Zoom in to see their pixels. The answers are listed under Answers as well.</p>
    </div>
  );
}
