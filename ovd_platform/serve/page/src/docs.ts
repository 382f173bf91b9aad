// The OpenAPI description as a page, without a network: every address, its parameters, its fields.

import "./style.css";

interface Schema { type?: string; $ref?: string; anyOf?: Schema[]; items?: Schema; prefixItems?: Schema[]; properties?: Record<string, Schema>; required?: string[]; description?: string; default?: unknown; enum?: unknown[]; const?: unknown; title?: string }
interface Operation { summary?: string; description?: string; tags?: string[]; parameters?: { name: string; in: string; required?: boolean; description?: string; schema: Schema }[]; requestBody?: { content: Record<string, { schema: Schema }> } }
interface OpenApi { info: { title: string; version: string; description: string }; paths: Record<string, Record<string, Operation>>; components: { schemas: Record<string, Schema> } }

const make = (tag: string, text = "", ...children: Node[]): HTMLElement => {
  const node = document.createElement(tag);
  node.textContent = text;
  node.append(...children);
  return node;
};

function kind(schema: Schema | undefined): string {
  if (!schema) return "any";
  if (schema.$ref) return schema.$ref.split("/").pop() ?? "";
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.anyOf) return schema.anyOf.map(kind).join(" | ");
  if (schema.prefixItems) return `[${schema.prefixItems.map(kind).join(", ")}]`;
  if (schema.type === "array") return `${kind(schema.items)}[]`;
  return schema.type ?? "any";
}

function rows(title: string, entries: [string, string, string][]): Node[] {
  if (!entries.length) return [];
  const body = make("tbody");
  for (const [name, what, about] of entries) body.append(make("tr", "", make("th", name), make("td", what), make("td", about)));
  return [make("h4", title), make("table", "", body)];
}

function fields(schema: Schema): [string, string, string][] {
  return Object.entries(schema.properties ?? {}).map(([name, one]) => [
    name + (schema.required?.includes(name) ? "" : "?"), kind(one), [one.description, one.default !== undefined && one.default !== null && typeof one.default !== "object" ? `Default ${JSON.stringify(one.default)}.` : ""].filter(Boolean).join(" "),
  ]);
}

async function show(): Promise<void> {
  const place = document.getElementById("docs");
  if (!place) return;
  const response = await fetch("/api/openapi.json");
  if (!response.ok) { place.replaceChildren(make("p", "Cannot show the API: the server gave no description. Reload the page.")); return; }
  const api = (await response.json()) as OpenApi;
  const file = make("a", "openapi.json") as HTMLAnchorElement;
  file.href = "/api/openapi.json";
  const page = make("a", "Search page") as HTMLAnchorElement;
  page.href = "/";
  place.replaceChildren(make("h1", `${api.info.title} ${api.info.version}`), make("p", api.info.description), make("p", "", page, document.createTextNode(" · "), file));
  for (const [path, operations] of Object.entries(api.paths)) {
    for (const [method, one] of Object.entries(operations)) {
      const bodies = Object.entries(one.requestBody?.content ?? {});
      place.append(make("section", "",
        make("h3", "", make("code", `${method.toUpperCase()} ${path}`)), make("p", one.description ?? one.summary ?? ""),
        ...rows("Parameters", (one.parameters ?? []).map((p) => [p.name + (p.required ? "" : "?"), kind(p.schema), p.description ?? ""])),
        ...bodies.map(([media, body]) => make("p", `Body: ${media}, ${kind(body.schema)}`))));
    }
  }
  place.append(make("h2", "Fields"));
  for (const [name, schema] of Object.entries(api.components.schemas)) place.append(make("section", "", make("h3", name), make("p", schema.description ?? ""), ...rows("", fields(schema)).slice(1)));
}

void show();
