// What to do with answers: refine by marks, keep as a class, take away as a file.

import { useState } from "preact/hooks";
import { api, type Modality } from "./api";
import type { Search } from "./useSearch";

const FORMATS: [string, string][] = [["geojson", "GeoJSON"], ["coco", "COCO"], ["evidence", "Evidence pack"]];

export function Keep({ search, modality, classes, say, saved }: { search: Search; modality: Modality; classes: string[]; say: (line: string) => void; saved: () => void }) {
  const [name, setName] = useState("");
  const [watch, setWatch] = useState(false);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState("");
  const right = [...search.marks.values()].filter((one) => one === "right").length;
  const wrong = search.marks.size - right;
  const asked = search.phase === "done" || search.marks.size > 0;
  const marked = (verdict: string) => [...search.marks].filter(([, one]) => one === verdict).map(([id]) => id);
  const whole = () => ({ ...search.answered, modality, right: marked("right"), wrong: marked("wrong") });

  const attempt = async (what: string, work: () => Promise<void>) => {
    setProblem("");
    setBusy(what);
    try { await work(); } catch (error) { setProblem((error as Error).message); }
    setBusy("");
  };
  const save = () => attempt("save", async () => {
    const kept = await api.save(name, whole(), watch);
    say(`Kept as class “${kept.name}”: ${kept.right} right, ${kept.wrong} wrong. The graph fits it with the next run.`);
    setName("");
    saved();
  });
  const again = (which: string) => attempt(which, async () => {
    const found = (await api.classes(modality)).classes.find((one) => one.name === which);
    if (found) search.run({ text: found.texts.find((one) => one.weight > 0)?.text ?? "", phrases: found.texts.filter((one) => one.weight < 0), examples: found.examples, against: found.against, right: [], wrong: [] });
  });
  const forget = (which: string) => attempt(which, async () => {
    if (!window.confirm(`Forget the class “${which}”, its examples and marks?`)) return;
    await api.forget(modality, which);
    say(`Forgot “${which}”. Its detections go with the next run.`);
    saved();
  });
  const take = (format: string) => attempt(format, async () => {
    const hits = search.answer?.hits ?? [];
    const chosen = right ? hits.filter((hit) => search.marks.get(hit.id) === "right").map((hit) => hit.id) : [];
    const file = await api.export(format, search.answered, chosen);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file.data);
    link.download = file.name;
    link.click();
    window.setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    say(`Exported ${chosen.length || hits.length} answers as ${file.name} (${Math.ceil(file.data.size / 1024)} KiB)`);
  });

  return (
    <>
      <section class="marks" aria-label="Refine"><h3>Refine</h3>
        <p class="hint">{search.marks.size ? <><b class="right">{right} right</b>, <b class="wrong">{wrong} wrong</b></> : "Mark answers with R and W: the search learns."}</p>
        <div class="row">
          <label class="tick"><input type="checkbox" checked={search.live} onChange={(e) => search.setLive(e.currentTarget.checked)} />as I mark</label>
          <button type="button" disabled={!search.marks.size} onClick={search.refine}>Refine now</button>
        </div>
      </section>
      <section aria-label="Keep as a class"><h3>Keep as a class</h3>
        <div class="words">
          <input aria-label="Name of the class" placeholder="dome building" maxLength={64} value={name} onInput={(e) => setName(e.currentTarget.value)}
            onKeyDown={(e) => { if (e.key === "Enter") { e.preventDefault(); if (name.trim() && asked) void save(); } }} />
          <button type="button" id="save-class" disabled={!name.trim() || !asked || busy !== ""} onClick={() => void save()}>Keep</button>
        </div>
        <label class="tick"><input type="checkbox" checked={watch} onChange={(e) => setWatch(e.currentTarget.checked)} />look for it in new scenes</label>
        {classes.length > 0 && <><p class="hint">Kept; ask again:</p><ul class="kept">{classes.map((one) => (
          <li key={one}><button type="button" class="link" disabled={busy !== ""} onClick={() => void again(one)}>{one}</button><button type="button" class="small plain" disabled={busy !== ""} aria-label={`Forget ${one}`} onClick={() => void forget(one)}>✕</button></li>
        ))}</ul></>}
      </section>
      <section aria-label="Export"><h3>Export {right ? `${right} right answers` : "all answers"}</h3>
        <div class="row">{FORMATS.map(([format, label]) => (
          <button key={format} type="button" id={`export-${format}`} disabled={!search.answer?.hits.length || busy !== ""} onClick={() => void take(format)}>{busy === format ? "Making …" : label}</button>
        ))}</div>
      </section>
      {problem && <p role="alert" class="problem">{problem}</p>}
    </>
  );
}
