// A scene by deep zoom, with the answers on it; a box can be drawn to search for what is inside.

import OpenSeadragon from "openseadragon";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Box, Hit, Scene } from "./api";

// Leaving a scene while its tiles are on their way is no fault; the viewer warns of each such tile.
(OpenSeadragon as unknown as { console: Console }).console = {
  ...console, warn: (text: unknown, ...more: unknown[]) => { if (!String(text).startsWith("Ignoring tile")) console.warn(text, ...more); },
};

interface Props { scene: Scene; focus?: Box; boxes: Hit[]; current?: string; draw?: (box: Box) => void }

export function Viewer({ scene, focus, boxes, current, draw }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const viewer = useRef<OpenSeadragon.Viewer | null>(null);
  const [drawing, setDrawing] = useState(Boolean(draw));
  const [problem, setProblem] = useState("");
  const [opened, setOpened] = useState(0);

  useEffect(() => {
    if (!place.current) return;
    const made = OpenSeadragon({
      element: place.current, drawer: "canvas", showNavigationControl: false, showNavigator: false, animationTime: 0.4, maxZoomPixelRatio: 16,
      imageSmoothingEnabled: false, visibilityRatio: 0.6, minZoomImageRatio: 0.7, tileRetryMax: 60, tileRetryDelay: 1000,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      tileSources: {
        width: scene.width_px, height: scene.height_px, tileSize: scene.tile_px, minLevel: 0, maxLevel: scene.max_zoom,
        getTileUrl: (level: number, x: number, y: number) => `/api/scenes/${scene.id}/tiles/${level}/${x}/${y}?v=${encodeURIComponent(scene.version)}`,
      },
    });
    viewer.current = made;
    made.addHandler("open", () => {
      const image = made.world.getItemAt(0);
      if (focus) {
        const side = Math.max(96, 6 * Math.max(focus[2] - focus[0], focus[3] - focus[1]));
        const [x, y] = [(focus[0] + focus[2]) / 2, (focus[1] + focus[3]) / 2];
        made.viewport.fitBounds(image.imageToViewportRectangle(x - side / 2, y - side / 2, side, side), true);
      }
      setOpened((count) => count + 1);
      place.current?.setAttribute("data-open", scene.id);
    });
    let waited = 0;
    made.addHandler("tile-load-failed", (event) => { waited += 1; setProblem(waited > 40 ? `Some tiles cannot be shown: ${event.message}` : "Some tiles are still being prepared …"); });
    made.addHandler("tile-loaded", () => setProblem(""));
    return () => {
      viewer.current = null;
      (made as unknown as { imageLoader: { clear: () => void } }).imageLoader.clear(); // Tiles on their way have no place to go any more.
      made.destroy();
    };
  }, [scene.id, scene.version, focus?.join()]);

  useEffect(() => { // The boxes change with the answers; where one looks stays.
    const image = viewer.current?.world.getItemAt(0);
    if (!viewer.current || !image) return;
    viewer.current.clearOverlays();
    for (const hit of boxes) {
      const [x0, y0, x1, y1] = hit.box_scene_xyxy;
      const mark = document.createElement("div");
      mark.className = hit.id === current ? "box current" : "box";
      mark.title = `Answer ${hit.rank}`;
      viewer.current.addOverlay({ element: mark, location: image.imageToViewportRectangle(x0, y0, x1 - x0, y1 - y0) });
    }
  }, [opened, boxes.map((one) => one.id).join(), current]);

  const start = useRef<[number, number] | null>(null);
  const [rubber, setRubber] = useState<Box | null>(null);
  const at = (event: PointerEvent): [number, number] => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const finish = (event: PointerEvent) => {
    const from = start.current;
    start.current = null;
    setRubber(null);
    const image = viewer.current?.world.getItemAt(0);
    if (!from || !image || !draw) return;
    const to = at(event);
    const [a, b] = [from, to].map(([x, y]) => image.viewerElementToImageCoordinates(new OpenSeadragon.Point(x, y)));
    const clip = (value: number, top: number) => Math.max(0, Math.min(top, value));
    const box: Box = [clip(Math.min(a!.x, b!.x), scene.width_px), clip(Math.min(a!.y, b!.y), scene.height_px), clip(Math.max(a!.x, b!.x), scene.width_px), clip(Math.max(a!.y, b!.y), scene.height_px)];
    if (box[2] - box[0] >= 2 && box[3] - box[1] >= 2) draw(box);
  };
  const zoom = (factor: number) => { viewer.current?.viewport.zoomBy(factor); viewer.current?.viewport.applyConstraints(); };

  return (
    <div class="viewer">
      <div ref={place} class="canvas" aria-label={`Scene ${scene.id}`} />
      {draw && drawing && (
        <div class="draw" onPointerDown={(event) => { event.currentTarget.setPointerCapture(event.pointerId); start.current = at(event); }}
          onPointerMove={(event) => { if (start.current) { const [x, y] = at(event); setRubber([...start.current, x, y]); } }} onPointerUp={finish}
          onWheel={(event) => { event.preventDefault(); zoom(event.deltaY < 0 ? 1.3 : 1 / 1.3); }}>
          {rubber && <div class="rubber" style={{ left: Math.min(rubber[0], rubber[2]), top: Math.min(rubber[1], rubber[3]), width: Math.abs(rubber[2] - rubber[0]), height: Math.abs(rubber[3] - rubber[1]) }} />}
        </div>
      )}
      <div class="tools">
        {draw && <button aria-pressed={drawing} onClick={() => setDrawing(!drawing)}>{drawing ? "Drawing a box" : "Moving"}</button>}
        <button aria-label="Zoom in" onClick={() => zoom(1.6)}>+</button><button aria-label="Zoom out" onClick={() => zoom(1 / 1.6)}>−</button>
        <button aria-label="Whole scene" onClick={() => viewer.current?.viewport.goHome()}>⌂</button>
      </div>
      {scene.rendered && <span class="rendered">rendered</span>}
      {problem && <p class="hint floating" role="status">{problem}</p>}
    </div>
  );
}
