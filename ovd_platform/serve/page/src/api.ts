// The HTTP API as this page uses it. Belongs here: types and calls; nothing is drawn.

export type Modality = "optical" | "sar";
export type Box = [number, number, number, number];
export type LonLat = [number, number];
export type Verdict = "right" | "wrong" | "none";

export interface Example { upload?: string; scene?: string; box?: Box; weight?: number }
export type Range = [number, number];
export interface Phrase { text: string; weight: number }
export interface Filters {
  area?: LonLat[][]; from_utc?: string; to_utc?: string; instruments?: string[]; scenes?: string[]; min_score?: number;
  gsd_m?: Range; off_nadir_deg?: Range; sun_elevation_deg?: Range; incidence_deg?: Range;
}
export interface Ask {
  modality: Modality; text: string; phrases: Phrase[]; examples: Example[]; against: Example[]; right: string[]; wrong: string[];
  filters: Filters; top: number; documents: boolean; collapse_revisits: boolean;
}
export interface Hit {
  id: string; rank: number; scene_id: string; scene_version: string; tile_id: string; box_scene_xyxy: Box; score: number;
  similarity: number; objectness: number; lonlat: LonLat | null; instrument: string; acquired_utc: string; model_version: string;
  rendered: boolean; revisits?: { proposal_id: string; scene_id: string; acquired_utc: string; score: number }[];
}
export interface Answer {
  hits: Hit[]; plan: { way: string; rows: number; matching: number; seconds: number; feedback_share: number };
  document_pictures: number; encoder: string; release: string; verdicts: Record<string, Verdict>; seconds: number;
}
export interface Scene {
  id: string; modality: Modality; version: string; state: string; rendered: boolean; instrument: string; width_px: number;
  height_px: number; bands: string[]; bits: number | null; gsd_m: number | null; acquired_utc: string | null; georeference: string;
  footprint_lonlat: LonLat[]; bounds_lonlat: Box | null; max_zoom: number; tile_px: number; position_error_m: number | null;
}
export interface ModalityFacts {
  scenes: number; rendered_scenes: number; archived: number; instruments: string[]; from_utc: string | null; to_utc: string | null;
  release: string | null; encoder: string | null; words: boolean; objects: number; classes: string[];
}
export interface Status { workspace: string; rendered: boolean; warm: boolean; modalities: Partial<Record<Modality, ModalityFacts>> }
export interface SavedClass {
  name: string; modality: Modality; watch: boolean; saved_utc: string; texts: Phrase[]; right: number;
  wrong: number; chips: number; examples: Example[]; against: Example[];
}
export interface Upload { upload: string; width_px: number; height_px: number; instrument: string }

export class Problem extends Error {
  constructor(readonly kind: string, message: string, readonly status: number) { super(message); }
}

async function send(path: string, options: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem("ResourceError", "Cannot reach the server: expected an answer, got none. Is `ovd up` still running?", 0);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => null) as { error?: string; message?: string } | null;
  throw new Problem(body?.error ?? "OvdError", body?.message ?? `The server answered ${response.status}.`, response.status);
}

const json = (body: unknown, signal?: AbortSignal): RequestInit =>
  ({ method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: signal ?? null });
const read = async <T>(path: string, options?: RequestInit): Promise<T> => (await send(path, options)).json() as Promise<T>;

export const api = {
  status: () => read<Status>("/api/status"),
  scenes: (modality: Modality) => read<{ total: number; scenes: Scene[] }>(`/api/scenes?modality=${modality}&limit=5000`),
  search: (ask: Ask, signal: AbortSignal) => read<Answer>("/api/search", json(ask, signal)),
  hit: (modality: Modality, id: string) =>
    read<{ hit: Hit; scene: Scene; lineage: Record<string, unknown> }>(`/api/hits/${modality}/${encodeURIComponent(id)}`),
  similar: (modality: Modality, id: string) => read<{ hits: Hit[] }>(`/api/similar/${modality}/${encodeURIComponent(id)}?top=8`),
  upload: (file: Blob) => read<Upload>("/api/uploads", { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } }),
  mark: (id: string, verdict: Verdict, ask: Ask) => read<{ made_utc: string }>("/api/feedback", json({ id, verdict, ask })),
  classes: (modality: Modality) => read<{ classes: SavedClass[] }>(`/api/classes/${modality}`),
  save: (name: string, ask: Ask, watch: boolean) => read<SavedClass>("/api/classes", json({ name, ask, watch })),
  forget: (modality: Modality, name: string) => send(`/api/classes/${modality}/${encodeURIComponent(name)}`, { method: "DELETE" }),
  export: async (format: string, ask: Ask, ids: string[]) => {
    const response = await send("/api/export", json({ format, ask, ids }));
    const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? `answers.${format}`;
    return { name, data: await response.blob() };
  },
};

export const cropUrl = (hit: Hit, size: number, context = 3): string =>
  `/api/scenes/${hit.scene_id}/crop?box=${hit.box_scene_xyxy.map((v) => v.toFixed(1)).join(",")}&size=${size}&context=${context}&v=${encodeURIComponent(hit.scene_version)}`;
export const boxUrl = (scene: string, box: Box, size: number): string =>
  `/api/scenes/${scene}/crop?box=${box.map((v) => v.toFixed(1)).join(",")}&size=${size}&context=1.6`;
export const thumbnailUrl = (scene: Scene, size: number): string =>
  `/api/scenes/${scene.id}/thumbnail?size=${size}&v=${encodeURIComponent(scene.version)}`;

export function emptyAsk(modality: Modality): Ask {
  return {
    modality, text: "", phrases: [], examples: [], against: [], right: [], wrong: [], filters: {}, top: 60, documents: true,
    collapse_revisits: false,
  };
}
export const isEmpty = (ask: Ask): boolean => !ask.text.trim() && ask.examples.length === 0 && ask.right.length === 0;
export const day = (utc: string | null): string => (utc ? utc.slice(0, 10) : "no date");
