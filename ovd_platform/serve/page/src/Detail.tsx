// One answer looked at closely: on its scene by deep zoom, what it looks like elsewhere, and everything that made it.

import { useEffect, useRef, useState } from "preact/hooks";
import { api, cropUrl, day, type Hit, type Modality, type Scene } from "./api";
import type { Search } from "./useSearch";
import { Viewer } from "./Viewer";

interface Props { hit: Hit; hits: Hit[]; modality: Modality; search: Search; close: () => void }
const degrees = ([lon, lat]: [number, number]) => `${Math.abs(lat).toFixed(6)}° ${lat < 0 ? "S" : "N"}, ${Math.abs(lon).toFixed(6)}° ${lon < 0 ? "W" : "E"}`;
interface Known { scene: Scene; lineage: Record<string, unknown> }

export function Detail({ hit, hits, modality, search, close }: Props) {
  const [known, setKnown] = useState<Known | null>(null);
  const [similar, setSimilar] = useState<Hit[]>([]);
  const [problem, setProblem] = useState("");
  const panel = useRef<HTMLElement>(null);
  const verdict = search.marks.get(hit.id) ?? "none";

  useEffect(() => {
    const failed = (error: Error) => setProblem(error.message);
    api.hit(modality, hit.id).then(setKnown, failed);
    api.similar(modality, hit.id).then((found) => setSimilar(found.hits), failed);
    panel.current?.focus({ preventScroll: true });
  }, [hit.id, modality]);

  const press = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || (event.target as HTMLElement).closest(".viewer")) { if (event.key === "Escape") close(); return; }
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const key = event.key.toLowerCase();
    if (event.key === "Escape") close();
    else if (step) search.select(Math.max(0, Math.min(hits.length - 1, search.selected + step)));
    else if (key === "r" || key === "w") search.mark(hit, key === "r" ? "right" : "wrong");
    else if (key === "m") { search.like(hit); close(); }
    else return;
    event.preventDefault();
  };
  const [x0, y0, x1, y1] = hit.box_scene_xyxy.map(Math.round) as [number, number, number, number];

  return (
    <section ref={panel} class="detail" tabIndex={-1} aria-label={`Answer ${hit.rank}`} onKeyDown={press}>
      <div class="row spread"><h2>Answer {hit.rank} {hit.rendered && <span class="rendered">rendered</span>}</h2><button class="plain" onClick={close} aria-label="Close">✕</button></div>
      {problem && <p role="alert" class="problem">{problem}</p>}
      {known ? <Viewer scene={known.scene} focus={hit.box_scene_xyxy} boxes={hits.filter((one) => one.scene_id === hit.scene_id)} current={hit.id} />
        : <div class="viewer ghost-picture" />}
      <div class="row">
        <button aria-pressed={verdict === "right"} class="yes" onClick={() => search.mark(hit, "right")}>✓ right <kbd>R</kbd></button>
        <button aria-pressed={verdict === "wrong"} class="no" onClick={() => search.mark(hit, "wrong")}>✗ wrong <kbd>W</kbd></button>
        <button onClick={() => { search.like(hit); close(); }}>More like this <kbd>M</kbd></button>
        <button onClick={() => search.run({ against: [...search.ask.against, { scene: hit.scene_id, box: hit.box_scene_xyxy }] })}>Less like this</button>
      </div>
      <dl class="provenance">
        <dt>Score</dt><dd>{hit.score.toFixed(4)} (similarity {hit.similarity.toFixed(3)}, objectness {hit.objectness.toFixed(2)})</dd>
        <dt>Scene</dt><dd>{hit.scene_id}, {day(hit.acquired_utc)}, {hit.instrument}{known && known.scene.state !== "live" ? ", from the archive" : ""}</dd>
        <dt>Box</dt><dd>{x0}, {y0} to {x1}, {y1} px{known?.scene.gsd_m ? ` (${((x1 - x0) * known.scene.gsd_m).toFixed(0)} × ${((y1 - y0) * known.scene.gsd_m).toFixed(0)} m)` : ""}</dd>
        <dt>Place</dt><dd>{hit.lonlat ? degrees(hit.lonlat) : "no georeference"}</dd>
        <dt>Versions</dt><dd>pixels {hit.scene_version}, encoder {hit.model_version}</dd>
        {hit.revisits && hit.revisits.length > 0 && <><dt>Seen again</dt><dd>{hit.revisits.map((one) => `${one.scene_id} (${day(one.acquired_utc)})`).join(", ")}</dd></>}
      </dl>
      {similar.length > 0 && <><h3>Looks like</h3><ul class="examples">{similar.map((one) => (
        <li key={one.id}><img width={72} height={72} alt={`${one.scene_id}, similarity ${one.similarity.toFixed(2)}`} title={`${one.scene_id} ${one.similarity.toFixed(3)}`} src={cropUrl(one, 96)} /></li>
      ))}</ul></>}
      {known && <details><summary>What made it (lineage)</summary><pre>{JSON.stringify(known.lineage, null, 1)}</pre></details>}
    </section>
  );
}
