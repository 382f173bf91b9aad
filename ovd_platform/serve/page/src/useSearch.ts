// The state of one search: the question, its answer, marks, and what happens when one of them changes.
// Belongs here: asking and refining. Does not belong here: drawing.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { api, emptyAsk, isEmpty, Problem, type Answer, type Ask, type Hit, type Modality, type Verdict } from "./api";

export type Phase = "empty" | "loading" | "done" | "error";
const REFINE_AFTER_MS = 700;

export interface Search {
  ask: Ask; answered: Ask; answer: Answer | null; phase: Phase; problem: string; marks: Map<string, Verdict>; selected: number; live: boolean;
  change: (part: Partial<Ask>) => void; run: (part?: Partial<Ask>) => void; mark: (hit: Hit, verdict: Verdict) => void;
  select: (index: number) => void; setLive: (live: boolean) => void; like: (hit: Hit) => void; refine: () => void; follow: { current: boolean };
}

export function useSearch(modality: Modality, say: (line: string) => void): Search {
  const [ask, setAsk] = useState<Ask>(() => emptyAsk(modality));
  const [answered, setAnswered] = useState<Ask>(ask); // The question of the answers on the screen; `ask` may be edited meanwhile.
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [phase, setPhase] = useState<Phase>("empty");
  const [problem, setProblem] = useState("");
  const [marks, setMarks] = useState<Map<string, Verdict>>(new Map());
  const [selected, setSelected] = useState(-1);
  const [live, setLive] = useState(true);
  const follow = useRef(false); // Whether the selection stays with its answer when the order changes, or with its place.
  const current = useRef({ ask, answered, answer, marks, live, selected });
  current.current = { ask, answered, answer, marks, live, selected };
  const asked = useRef<AbortController | null>(null);
  const timer = useRef(0);

  const send = useCallback((question: Ask, refining: boolean) => {
    asked.current?.abort();
    window.clearTimeout(timer.current);
    if (isEmpty(question)) { setAnswer(null); setPhase("empty"); return; }
    const control = new AbortController();
    asked.current = control;
    setPhase("loading");
    api.search(question, control.signal).then((found) => {
      const { answer: old, selected: place } = current.current;
      const stays = found.hits.findIndex((hit) => hit.id === old?.hits[place]?.id);
      setSelected(!refining ? (found.hits.length ? 0 : -1) : follow.current && stays >= 0 ? stays : Math.min(place, found.hits.length - 1));
      setAnswer(found);
      setAnswered(question);
      setPhase("done");
      const learnt = found.plan.feedback_share > 0 ? `, marks weigh ${Math.round(found.plan.feedback_share * 100)} %` : "";
      say(`${found.hits.length} answers in ${Math.round(found.seconds * 1000)} ms${learnt}`);
    }).catch((error: unknown) => {
      if (error instanceof DOMException) return;
      setProblem(error instanceof Problem ? error.message : String(error));
      setPhase("error");
    });
  }, [say]);

  const change = useCallback((part: Partial<Ask>) => setAsk((before) => ({ ...before, ...part })), []);
  const run = useCallback((part: Partial<Ask> = {}) => {
    const before = current.current.ask;
    const next = { ...before, ...part };
    const sameMeaning = next.text === answerText.current && JSON.stringify(next.examples) === answerExamples.current;
    const fresh = sameMeaning ? next : { ...next, right: part.right ?? [], wrong: part.wrong ?? [] };
    if (!sameMeaning) setMarks(new Map());
    answerText.current = fresh.text;
    answerExamples.current = JSON.stringify(fresh.examples);
    setAsk(fresh);
    send(fresh, false);
  }, [send]);
  const answerText = useRef("");
  const answerExamples = useRef("[]");

  const refine = useCallback(() => {
    const { ask: before, marks: said } = current.current;
    const names = (verdict: Verdict) => [...said].filter(([, one]) => one === verdict).map(([id]) => id);
    const next = { ...before, right: names("right"), wrong: names("wrong") };
    setAsk(next);
    send(next, true);
  }, [send]);

  const mark = useCallback((hit: Hit, verdict: Verdict) => {
    const said = new Map(current.current.marks);
    const value: Verdict = said.get(hit.id) === verdict ? "none" : verdict;
    if (value === "none") said.delete(hit.id); else said.set(hit.id, value);
    setMarks(said);
    say(value === "none" ? `Answer ${hit.rank}: mark withdrawn` : `Answer ${hit.rank} marked ${value}`);
    api.mark(hit.id, value, { ...current.current.answered, right: [], wrong: [] }).catch((error: unknown) => say(String((error as Error).message)));
    window.clearTimeout(timer.current);
    if (current.current.live) timer.current = window.setTimeout(refine, REFINE_AFTER_MS);
  }, [refine, say]);

  const like = useCallback((hit: Hit) => {
    run({ text: "", phrases: [], examples: [{ scene: hit.scene_id, box: hit.box_scene_xyxy }], against: [], right: [], wrong: [] });
  }, [run]);

  useEffect(() => { // Another modality is another corpus: nothing of the last question stays, and its answer must not come in late.
    asked.current?.abort();
    window.clearTimeout(timer.current);
    answerText.current = "";
    answerExamples.current = "[]";
    setAsk(emptyAsk(modality));
    setAnswered(emptyAsk(modality));
    setAnswer(null);
    setMarks(new Map());
    setSelected(-1);
    setPhase("empty");
  }, [modality]);
  return { ask, answered, answer, phase, problem, marks, selected, live, change, run, mark, select: setSelected, setLive, like, refine, follow };
}
