// Bundles page/main.jsx with Grafana's npm packages into one script and one style sheet.
//
//     node tests/panels/build.mjs FOLDER
//
// FOLDER holds node_modules, and receives page.js and page.css.
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const folder = path.resolve(process.argv[2]);
const packages = path.join(folder, "node_modules");
const { build } = createRequire(path.join(folder, "package.json"))("esbuild");

await build({
  entryPoints: [fileURLToPath(new URL("page/main.jsx", import.meta.url))],
  outfile: path.join(folder, "page.js"),
  nodePaths: [packages],
  bundle: true,
  minify: true,
  keepNames: true, // Grafana tells its scene objects apart by the names of their classes
  jsx: "automatic",
  format: "iife",
  loader: { ".svg": "dataurl", ".ttf": "empty" },
  define: { "process.env.NODE_ENV": '"production"', global: "window" },
  // Grafana asks for a package that joins versions 5 and 6 of the router; version 6 alone has all that is used here.
  alias: { "react-router-dom-v5-compat": path.join(packages, "react-router-dom") },
  logLevel: "error",
});
