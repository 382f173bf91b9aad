// The scenes themselves: a list to choose from, and one to look at and to draw a box on.

import { useMemo, useState } from "preact/hooks";
import { day, thumbnailUrl, type Box, type Hit, type Scene } from "./api";
import { Viewer } from "./Viewer";

export function Scenes({ scenes, hits, ask }: { scenes: Scene[]; hits: Hit[]; ask: (scene: string, box: Box) => void }) {
  const [chosen, setChosen] = useState<Scene | null>(null);
  const [words, setWords] = useState("");
  const shown = useMemo(() => scenes.filter((one) => `${one.id} ${one.instrument} ${one.acquired_utc}`.toLowerCase().includes(words.toLowerCase())), [scenes, words]);
  if (chosen) return (
    <div class="scene">
      <div class="row"><button onClick={() => setChosen(null)}>← All scenes</button><h2>{chosen.id}</h2></div>
      <p class="hint">{chosen.width_px.toLocaleString("en")} × {chosen.height_px.toLocaleString("en")} px, {chosen.bands.join(", ")}, {chosen.bits ? `${chosen.bits} bit, ` : ""}{day(chosen.acquired_utc)}{chosen.gsd_m ? `, ${chosen.gsd_m.toFixed(2)} m` : ""}, {chosen.georeference === "none" ? "no georeference" : chosen.georeference}{chosen.state !== "live" ? ", shown from the archive" : ""}</p>
      <Viewer scene={chosen} boxes={hits.filter((hit) => hit.scene_id === chosen.id)} draw={(box) => ask(chosen.id, box)} />
      <p class="hint">Draw a box around an object to search for others like it. “Drawing a box” switches to moving; the wheel zooms.</p>
      <BoxByNumbers scene={chosen} ask={(box) => ask(chosen.id, box)} />
    </div>
  );
  return (
    <div>
      <div class="row tools-row"><label>Find a scene <input type="search" value={words} onInput={(e) => setWords(e.currentTarget.value)} /></label><span class="quiet">{shown.length} of {scenes.length}</span></div>
      {shown.length === 0 && <p class="state">No scene has such a name, instrument or date.</p>}
      <ul class="grid scenes">{shown.map((scene) => (
        <li key={scene.id} class="card">
          <button class="picture" id={`scene-${scene.id}`} onClick={() => setChosen(scene)} aria-label={`Open scene ${scene.id}${scene.rendered ? ", rendered" : ""}`}>
            <img loading="lazy" decoding="async" width={192} height={192} alt="" src={thumbnailUrl(scene, 256)} />{scene.rendered && <span class="rendered">rendered</span>}
          </button>
          <div class="facts"><span class="where" title={scene.id}>{scene.id}</span><span class="quiet">{day(scene.acquired_utc)} · {scene.instrument}{scene.state !== "live" ? ` · ${scene.state}` : ""}</span></div>
        </li>
      ))}</ul>
    </div>
  );
}

// The same without a pointer: four numbers.
function BoxByNumbers({ scene, ask }: { scene: Scene; ask: (box: Box) => void }) {
  const [text, setText] = useState("");
  const values = text.split(/[ ,]+/).filter(Boolean).map(Number);
  const fits = values.length === 4 && values.every(Number.isFinite) && values[0]! < values[2]! && values[1]! < values[3]! && values[2]! <= scene.width_px && values[3]! <= scene.height_px;
  return (
    <form class="row" onSubmit={(event) => { event.preventDefault(); if (fits) ask(values as Box); }}>
      <label>Box in pixels <input placeholder="x0, y0, x1, y1" value={text} onInput={(e) => setText(e.currentTarget.value)} /></label><button type="submit" disabled={!fits}>Search for it</button>
    </form>
  );
}
