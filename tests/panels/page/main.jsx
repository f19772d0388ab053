// The page: `draw({ dashboard, source, values, from, to })` draws a dashboard and answers, once all have drawn, what
// each of its panels shows.
// Queries go to /query of the page's own address, which the runner answers with InfluxDB's own words.
import "react-grid-layout/css/styles.css";
import "uplot/dist/uPlot.min.css";
import "./page.css";

import { ThemeContext } from "@grafana/data";
import { config } from "@grafana/runtime";
import { GlobalStyles, PortalContainer } from "@grafana/ui";
import { createRoot } from "react-dom/client";
import { MemoryRouter } from "react-router-dom";

import { marksOf, toScene } from "./dashboard";
import { prepareGrafana } from "./grafana";
import { InfluxSource } from "./influx";
import { untilDrawn } from "./record";

import "./panels";
import "./charts";
import "./timeline";

let waiting = 0; // queries that have no answer yet

async function ask(text) {
  waiting += 1;
  try {
    const answer = await fetch(`/query?${new URLSearchParams({ q: text, epoch: "ms" })}`);
    return await answer.json();
  } finally {
    waiting -= 1;
  }
}

function Page({ dashboard, scene }) {
  const theme = config.theme2; // dark, as Grafana's is
  const bar = {
    padding: "12px 16px",
    borderBottom: `1px solid ${theme.colors.border.weak}`,
    background: theme.colors.background.primary,
  };
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <MemoryRouter>
        <div style={bar}>
          <span style={{ color: theme.colors.text.secondary }}>Dashboards&ensp;›&ensp;</span>
          {dashboard.title}
        </div>
        <div style={{ padding: 16, display: "flex", flexDirection: "column" }}>
          <scene.Component model={scene} />
        </div>
        <PortalContainer />
      </MemoryRouter>
    </ThemeContext.Provider>
  );
}

window.draw = async ({ dashboard, source, values, from, to }) => {
  const meta = { id: source.type, name: source.type, type: "datasource", info: {}, module: "", baseUrl: "" };
  const settings = { ...source, id: 1, access: "proxy", jsonData: {}, meta, readOnly: true };
  const influx = new InfluxSource(settings, ask);
  Object.assign(influx, { settings, meta });
  prepareGrafana([influx]);
  const scene = toScene(dashboard, { values, from, to });
  createRoot(document.getElementById("page")).render(<Page {...{ dashboard, scene }} />);
  return untilDrawn(
    dashboard.panels.map((panel) => panel.id),
    () => waiting,
    () => marksOf(scene),
  );
};
