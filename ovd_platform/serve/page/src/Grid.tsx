// Answers as a grid: one stop for the tab key, arrows inside, marks by letter.

import { useEffect, useRef } from "preact/hooks";
import { cropUrl, day, type Hit, type ModalityFacts, type Verdict } from "./api";
import type { Search } from "./useSearch";

const SUGGESTIONS = ["small building with a dome roof", "aircraft parked on an apron", "ship alongside a quay"];

export function Grid({ search, facts, warm, open }: { search: Search; facts: ModalityFacts; warm: boolean; open: () => void }) {
  const list = useRef<HTMLUListElement>(null);
  const { answer, phase, selected } = search;
  const hits = answer?.hits ?? [];
  const focused = useRef(false);

  useEffect(() => {
    if (focused.current) document.getElementById(`hit-${selected}`)?.focus({ preventScroll: false });
  }, [selected, answer]);

  const columns = () => {
    const style = list.current ? getComputedStyle(list.current).gridTemplateColumns : "";
    return Math.max(1, style.split(" ").length);
  };
  const press = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step: Record<string, number> = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns(), Home: -hits.length, End: hits.length };
    const hit = hits[selected];
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in step) search.select(Math.max(0, Math.min(hits.length - 1, selected + step[key]!)));
    else if (hit && (key === "r" || key === "w")) { search.mark(hit, key === "r" ? "right" : "wrong"); }
    else if (hit && key === "m") search.like(hit);
    else if (key === "f") search.refine();
    else if (hit && (key === "Enter" || key === " ")) open();
    else return;
    event.preventDefault();
  };

  if (phase === "error") return <div class="state"><p role="alert" class="problem">{search.problem}</p><button onClick={() => search.run()}>Try again</button></div>;
  if (phase === "empty") return (
    <div class="state">
      <h1>{facts.objects.toLocaleString("en")} objects in {facts.scenes} scenes</h1>
      {facts.encoder ? <p>Ask in words, drop a chip, or draw a box on a scene. No label of what you look for is needed.</p>
        : <p class="problem">Nothing is embedded yet. Run <code>ovd run</code>, then come back.</p>}
      {facts.words && <ul class="suggestions">{SUGGESTIONS.map((text) => <li key={text}><button onClick={() => search.run({ text })}>{text}</button></li>)}</ul>}
    </div>
  );
  if (phase === "loading" && !answer) return (
    <div aria-busy="true"><p class="summary" role="status">{warm ? "Searching …" : "Loading the models; the first answer takes a little longer …"}</p><ul class="grid">{Array.from({ length: 12 }, (_, i) => <li key={i} class="card ghost"><div class="ghost-picture" /></li>)}</ul></div>
  );
  if (!hits.length) return <div class="state"><h1>No answers</h1><p>Nothing passes these filters. Widen the dates or the area, or lower the score.</p></div>;
  return (
    <div aria-busy={phase === "loading"}>
      <p class="summary">
        {hits.length} answers of {answer!.plan.rows.toLocaleString("en")} objects
        {answer!.document_pictures > 0 && `, with ${answer!.document_pictures} pictures of your documents as examples`}
        <span class="quiet"> · {answer!.plan.way}, {Math.round(answer!.seconds * 1000)} ms · encoder {answer!.encoder.slice(0, 8)}</span>
      </p>
      <ul ref={list} class="grid" aria-label="Answers, best first" onKeyDown={press}
        onFocusIn={() => { focused.current = true; }} onFocusOut={(event) => { if (event.relatedTarget) focused.current = false; }}>
        {hits.map((hit, i) => (
          <Card key={hit.id} hit={hit} index={i} verdict={search.marks.get(hit.id) ?? answer!.verdicts[hit.id] ?? "none"} current={i === selected}
            before={!search.marks.has(hit.id) && hit.id in answer!.verdicts}
            choose={() => { search.select(i); open(); }} reach={() => { if (i !== selected) search.select(i); }} mark={(verdict) => { search.select(i); search.mark(hit, verdict); }} />
        ))}
      </ul>
    </div>
  );
}

interface CardProps { hit: Hit; index: number; verdict: Verdict; before: boolean; current: boolean; choose: () => void; reach: () => void; mark: (verdict: Verdict) => void }

function Card({ hit, index, verdict, before, current, choose, reach, mark }: CardProps) {
  const said = verdict === "none" ? "" : `, marked ${verdict}${before ? " earlier" : ""}`;
  const title = `Answer ${hit.rank}, score ${hit.score.toFixed(3)}, ${hit.scene_id}, ${day(hit.acquired_utc)}${hit.rendered ? ", rendered" : ""}${said}`;
  return (
    <li class={`card ${verdict}${before ? " before" : ""}`}>
      <button id={`hit-${index}`} class="picture" aria-label={title} aria-current={current} tabIndex={current ? 0 : -1} onClick={choose} onFocus={reach}>
        <img loading="lazy" decoding="async" width={192} height={192} alt="" src={cropUrl(hit, 192)} />
        <span class="rank">{hit.rank}</span>{hit.rendered && <span class="rendered">rendered</span>}
      </button>
      <div class="facts"><span class="score">{hit.score.toFixed(3)}</span><span class="where" title={hit.scene_id}>{hit.scene_id}</span><span class="quiet" title={hit.instrument}>{day(hit.acquired_utc)} · {hit.instrument}</span></div>
      <div class="verdicts">
        <button tabIndex={-1} class="small" aria-pressed={verdict === "right"} aria-label={`Mark answer ${hit.rank} right`} onClick={() => mark("right")}>✓</button>
        <button tabIndex={-1} class="small" aria-pressed={verdict === "wrong"} aria-label={`Mark answer ${hit.rank} wrong`} onClick={() => mark("wrong")}>✗</button>
      </div>
    </li>
  );
}
