// What is asked: words, examples, filters; and what to do with the answers: refine, keep as a class, export.

import { useState } from "preact/hooks";
import { api, boxUrl, day, type Example, type Modality, type ModalityFacts } from "./api";
import { Keep } from "./Keep";
import type { Search } from "./useSearch";

interface Props { search: Search; facts: ModalityFacts; modality: Modality; say: (line: string) => void; saved: () => void; drawOnScene: () => void }

export function Question({ search, facts, modality, say, saved, drawOnScene }: Props) {
  const { ask, change, run } = search;
  const [over, setOver] = useState(false);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);

  const take = async (files: Iterable<File>) => {
    setProblem("");
    setBusy(true);
    const taken: Example[] = [];
    for (const file of files) {
      try { taken.push({ upload: (await api.upload(file)).upload }); }
      catch (error) { setProblem(`${file.name}: ${(error as Error).message}`); }
    }
    setBusy(false);
    if (taken.length) run({ examples: [...ask.examples, ...taken] });
  };
  const filters = ask.filters;
  const filter = (part: Partial<typeof filters>) => change({ filters: Object.fromEntries(Object.entries({ ...filters, ...part }).filter(([, v]) => v !== undefined && v !== "" && !(Array.isArray(v) && !v.length))) });
  const used = Object.keys(filters).length;
  const unwanted = ask.phrases.find((one) => one.weight < 0)?.text ?? "";
  // A limit of the view as one number: the other end of the range is as far as it goes.
  const limit = (label: string, name: "gsd_m" | "off_nadir_deg" | "sun_elevation_deg" | "incidence_deg", end: 0 | 1, whole: [number, number], step: number) => (
    <label>{label}<input type="number" min={whole[0]} max={whole[1]} step={step} value={filters[name] && filters[name][end] !== whole[end] ? filters[name][end] : ""}
      onInput={(e) => {
        const range: [number, number] = [...(filters[name] ?? whole)];
        range[end] = e.currentTarget.value === "" ? whole[end] : Number(e.currentTarget.value);
        filter({ [name]: range[0] === whole[0] && range[1] === whole[1] ? undefined : range });
      }} /></label>
  );

  return (
    <form class="question" onSubmit={(event) => { event.preventDefault(); run(); }}
      onDragOver={(event) => { event.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)}
      onDrop={(event) => { event.preventDefault(); setOver(false); void take(event.dataTransfer?.files ?? []); }}>
      <label for="words">What are you looking for?</label>
      <div class="words">
        <input id="words" type="search" value={ask.text} maxLength={400} autocomplete="off" disabled={!facts.words}
          placeholder={facts.words ? "small building with a dome roof" : "this model knows no words: use examples"}
          onInput={(event) => change({ text: event.currentTarget.value })} />
        <button class="main" type="submit">Search</button>
      </div>
      {facts.words && <label class="unwanted">but not<input type="text" value={unwanted} maxLength={400} autocomplete="off" placeholder="round tank"
        onInput={(event) => change({ phrases: event.currentTarget.value.trim() ? [{ text: event.currentTarget.value, weight: -1 }] : [] })} /></label>}
      <div class={over ? "drop over" : "drop"}>
        <p>{busy ? "Checking the picture …" : "Drop a chip here that looks like it, or"}</p>
        <div class="row">
          <label class="button" for="chips">Choose a file</label>
          <input id="chips" class="hidden-file" type="file" multiple accept=".png,.jpg,.jpeg,.tif,.tiff,.jp2,.ntf,.nitf"
            onChange={(event) => { void take([...(event.currentTarget.files ?? [])]); event.currentTarget.value = ""; }} />
          <button type="button" onClick={drawOnScene}>Draw on a scene</button>
        </div>
        {problem && <p role="alert" class="problem">{problem}</p>}
      </div>
      <Examples title="Examples" list={ask.examples} drop={(i) => run({ examples: ask.examples.filter((_, k) => k !== i) })}
        move={(i) => run({ examples: ask.examples.filter((_, k) => k !== i), against: [...ask.against, ...ask.examples.slice(i, i + 1)] })} moveLabel="not this" />
      <Examples title="Not like these" list={ask.against} drop={(i) => run({ against: ask.against.filter((_, k) => k !== i) })} />

      <details class="filters">
        <summary>Filters{used ? ` (${used})` : ""}</summary>
        <div class="pair">
          <label>From<input type="date" value={filters.from_utc ?? ""} onInput={(e) => filter({ from_utc: e.currentTarget.value })} /></label>
          <label>To<input type="date" value={filters.to_utc ?? ""} onInput={(e) => filter({ to_utc: e.currentTarget.value })} /></label>
        </div>
        <p class="hint">Scenes were taken {day(facts.from_utc)} to {day(facts.to_utc)}.</p>
        <fieldset><legend>Instrument</legend>
          {facts.instruments.map((name) => (
            <label key={name} class="tick"><input type="checkbox" checked={filters.instruments?.includes(name) ?? false}
              onChange={(e) => filter({ instruments: e.currentTarget.checked ? [...(filters.instruments ?? []), name] : filters.instruments?.filter((one) => one !== name) })} />{name}</label>
          ))}
        </fieldset>
        <div class="pair">
          <label>Score at least<input type="number" step="0.05" value={filters.min_score ?? ""} onInput={(e) => filter({ min_score: e.currentTarget.value === "" ? undefined : Number(e.currentTarget.value) })} /></label>
          <label>Answers<select value={ask.top} onChange={(e) => change({ top: Number(e.currentTarget.value) })}>{[60, 200, 1000].map((n) => <option key={n} value={n}>{n}</option>)}</select></label>
        </div>
        <div class="pair three">
          {limit("Pixel m to", "gsd_m", 1, [0, 1000], 0.1)}
          {modality === "sar" ? limit("Incidence ° from", "incidence_deg", 0, [0, 90], 1) : limit("Off nadir ° to", "off_nadir_deg", 1, [0, 90], 1)}
          {modality === "sar" ? limit("Incidence ° to", "incidence_deg", 1, [0, 90], 1) : limit("Sun ° from", "sun_elevation_deg", 0, [-90, 90], 1)}
        </div>
        {filters.area && <p class="hint">Inside the drawn area. <button type="button" class="link" onClick={() => filter({ area: undefined })}>Remove</button></p>}
        <label class="tick"><input type="checkbox" checked={ask.collapse_revisits} onChange={(e) => change({ collapse_revisits: e.currentTarget.checked })} />One answer a place over all times</label>
        <label class="tick"><input type="checkbox" checked={ask.documents} onChange={(e) => change({ documents: e.currentTarget.checked })} />Let pictures of the documents join</label>
        <div class="row"><button type="submit">Apply</button><button type="button" onClick={() => change({ filters: {} })}>Clear</button></div>
      </details>
      <Keep search={search} modality={modality} classes={facts.classes} say={say} saved={saved} />
    </form>
  );
}

function Examples({ title, list, drop, move, moveLabel }: { title: string; list: Example[]; drop: (i: number) => void; move?: (i: number) => void; moveLabel?: string }) {
  if (!list.length) return null;
  return (
    <section aria-label={title}><h3>{title}</h3>
      <ul class="examples">{list.map((one, i) => (
        <li key={one.upload ?? `${one.scene}${one.box?.join()}`}>
          <img width={72} height={72} alt={one.upload ? "Uploaded example" : `Box of ${one.scene}`} src={one.upload ? `/api/uploads/${one.upload}` : boxUrl(one.scene!, one.box!, 96)} />
          <button type="button" class="small" onClick={() => drop(i)} aria-label={`Remove example ${i + 1}`}>✕</button>
          {move && <button type="button" class="small" onClick={() => move(i)}>{moveLabel}</button>}
        </li>
      ))}</ul>
    </section>
  );
}
