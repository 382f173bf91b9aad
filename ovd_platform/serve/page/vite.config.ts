import { defineConfig } from "vite";

// Built into dist/, which is committed: running the page needs neither node nor a network.
export default defineConfig({
  base: "/",
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1500,
    sourcemap: false,
    rollupOptions: { input: ["index.html", "api.html"] },
  },
  server: { proxy: { "/api": "http://127.0.0.1:8080" } },
});
