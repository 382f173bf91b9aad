import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";

const PUBLISHED = ["index.html", "api.html", "package-lock.json", "public", "src", "tsconfig.json", "vite.config.ts"];

// dist/built-from.txt: a hash over the sources. A test recomputes it, so that dist/ cannot fall behind them unnoticed.
function sourceHash(): string {
  const files = PUBLISHED.flatMap((name) =>
    name.includes(".") ? [name] : (readdirSync(name, { recursive: true, withFileTypes: true }).filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name))));
  const digest = createHash("sha256");
  for (const name of files.sort()) digest.update(`${name}\0`).update(readFileSync(name)).update("\0");
  return digest.digest("hex");
}

// dist/LICENSES.txt: the licence of everything that is bundled.
function licences(): string {
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as { packages: Record<string, { dev?: boolean; version?: string; license?: string }> };
  return Object.entries(lock.packages).filter(([path, one]) => path && !one.dev && !path.includes("@types/")).map(([path, one]) => {
    const file = existsSync(path) ? readdirSync(path).find((name) => /^licen[cs]e/i.test(name)) : undefined;
    return `${path.replace(/^.*node_modules\//, "")} ${one.version} (${one.license})\n\n${file ? readFileSync(join(path, file), "utf8").trim() : ""}\n`;
  }).join(`\n${"-".repeat(80)}\n\n`);
}

const notes: Plugin = {
  name: "notes",
  generateBundle() {
    this.emitFile({ type: "asset", fileName: "LICENSES.txt", source: licences() });
    this.emitFile({ type: "asset", fileName: "built-from.txt", source: `${sourceHash()}\n` });
  },
};

// Built into dist/, which is committed: running the page needs neither node nor a network.
export default defineConfig({
  base: "/",
  plugins: [notes],
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1500,
    sourcemap: false,
    rollupOptions: { input: ["index.html", "api.html"] },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8080" } },
});
