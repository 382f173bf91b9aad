// The page: what is asked on the left, what was found beside it as a grid, on the map, or the scenes themselves.

import { useCallback, useEffect, useState } from "preact/hooks";
import { api, type Modality, type Scene, type Status } from "./api";
import { Detail } from "./Detail";
import { Grid } from "./Grid";
import { Keys } from "./Keys";
import { MapView } from "./MapView";
import { Question } from "./Question";
import { Scenes } from "./Scenes";
import { useSearch } from "./useSearch";

type View = "results" | "map" | "scenes";
const VIEWS: [View, string][] = [["results", "Answers"], ["map", "Map"], ["scenes", "Scenes"]];

export function App() {
  const [status, setStatus] = useState<Status | null>(null);
  const [failed, setFailed] = useState("");
  const [modality, setModality] = useState<Modality>("optical");
  const [view, setView] = useState<View>("results");
  const [scenes, setScenes] = useState<Scene[]>([]);
  const [open, setOpen] = useState(false);
  const [news, setNews] = useState("");
  const [help, setHelp] = useState(false);
  const say = useCallback((line: string) => setNews(line), []);
  const search = useSearch(modality, say);
  search.follow.current = open;

  const load = useCallback(() => {
    api.status().then((facts) => {
      setStatus(facts);
      setFailed("");
      if (!facts.modalities.optical && facts.modalities.sar) setModality("sar");
    }).catch((error: Error) => setFailed(error.message));
  }, []);
  useEffect(load, [load]);
  useEffect(() => { // Until the models are loaded, ask again every second.
    if (!status || status.warm) return;
    const timer = window.setTimeout(() => api.status().then(setStatus, () => undefined), 1000);
    return () => window.clearTimeout(timer);
  }, [status]);
  useEffect(() => {
    if (status?.modalities[modality]) api.scenes(modality).then((found) => setScenes(found.scenes)).catch((error: Error) => say(error.message));
  }, [status, modality, say]);

  useEffect(() => { // On a narrow window the answers lie below what is asked.
    if (search.answer && window.innerWidth <= 700) document.getElementById("answers")?.scrollIntoView();
  }, [search.answered]);

  const hits = search.answer?.hits ?? [];
  const hit = hits[search.selected];
  const rendered = scenes.some((scene) => scene.rendered) || (status?.rendered ?? false);

  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && event.target.matches("input, textarea, select, [contenteditable]");
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "/" && !typing) { event.preventDefault(); document.getElementById("words")?.focus(); }
      else if (event.key === "?" && !typing) setHelp((before) => !before);
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);

  if (failed) return <main class="alone"><p role="alert" class="problem">{failed}</p><button onClick={load}>Try again</button></main>;
  if (!status) return <main class="alone"><p class="loading" role="status">Opening the workspace …</p></main>;
  const facts = status.modalities[modality];
  if (!facts) return <main class="alone"><h1>Nothing here yet</h1><p>No scene is registered in this workspace. Run <code>ovd ingest</code>, then <code>ovd run</code>.</p></main>;

  return (
    <>
      <a class="skip" href="#answers">Skip to the answers</a>
      <header>
        <strong class="brand">ovd</strong><span class="workspace">{status.workspace}</span>
        {Object.keys(status.modalities).length > 1 && (
          <fieldset class="switch"><legend class="quiet">Imagery</legend>
            {(Object.keys(status.modalities) as Modality[]).map((one) => (
              <label key={one}><input type="radio" name="modality" checked={one === modality} onChange={() => { setModality(one); setOpen(false); }} /><span>{one === "sar" ? "SAR" : "Optical"}</span></label>
            ))}
          </fieldset>
        )}
        <nav aria-label="Views">
          {VIEWS.map(([name, label]) => (
            <button key={name} id={`view-${name}`} class="tab" aria-pressed={view === name} onClick={() => setView(name)}>{label}</button>
          ))}
        </nav>
        <button class="plain" onClick={() => setHelp(true)}>Keys <kbd>?</kbd></button>
        <a class="plain" href="/api/docs">API</a>
      </header>
      {rendered && <p class="banner" role="note"><strong>Rendered imagery.</strong> {facts.rendered_scenes === facts.scenes ? "Nothing shown here was ever in orbit." : `${facts.rendered_scenes} of ${facts.scenes} scenes are rendered; their answers say so.`}</p>}
      <div class="columns">
        <aside aria-label="What is asked">
          <Question search={search} facts={facts} modality={modality} say={say} saved={load} drawOnScene={() => setView("scenes")} />
        </aside>
        <main id="answers" tabIndex={-1}>
          {view === "results" && <Grid search={search} facts={facts} warm={status.warm} open={() => setOpen(true)} />}
          {view === "map" && <MapView modality={modality} scenes={scenes} hits={hits} selected={search.selected} select={(i) => { search.select(i); setOpen(true); }} search={search} />}
          {view === "scenes" && <Scenes scenes={scenes} hits={hits} ask={(scene, box) => {
            setView("results");
            search.run({ examples: [...search.ask.examples, { scene, box }] });
          }} />}
        </main>
        {open && hit && view !== "scenes" && (
          <Detail key={hit.id} hit={hit} hits={hits} modality={modality} search={search} close={() => { setOpen(false); document.getElementById(`hit-${search.selected}`)?.focus(); }} />
        )}
      </div>
      <p class="news" role="status" aria-live="polite">{news}</p>
      {help && <Keys close={() => setHelp(false)} />}
    </>
  );
}
