// A dashboard as JSON becomes a scene of @grafana/scenes, as Grafana itself makes one: variables, marks, and panels at
// their places. What the generated dashboards do not use (rows, other variables) is refused, not left out.
import {
  ControlsLabel,
  DataSourceVariable,
  EmbeddedScene,
  QueryVariable,
  SceneControlsSpacer,
  SceneDataLayerSet,
  SceneDataTransformer,
  SceneGridItem,
  SceneGridLayout,
  SceneQueryRunner,
  SceneReactObject,
  SceneRefreshPicker,
  SceneTimePicker,
  SceneTimeRange,
  SceneVariableSet,
  VariableValueSelectors,
  VizPanel,
  dataLayers,
} from "@grafana/scenes";
import { LinkButton } from "@grafana/ui";

// values: of variables, by name, in place of those that the dashboard was saved with.
export function toScene(dashboard, { values, from, to }) {
  const { templating, annotations, panels, links, refresh } = dashboard;
  const layers = (annotations?.list ?? []).filter((one) => !one.builtIn).map(toLayer);
  return new EmbeddedScene({
    $timeRange: new SceneTimeRange({ from, to, timeZone: "utc" }),
    $variables: new SceneVariableSet({ variables: (templating?.list ?? []).map((one) => toVariable(one, values)) }),
    $data: new SceneDataLayerSet({ layers }),
    controls: [
      new VariableValueSelectors({}),
      ...layers.map(toSwitch),
      new SceneControlsSpacer(),
      ...(links ?? []).map(toLink),
      new SceneTimePicker({}),
      new SceneRefreshPicker({ refresh: refresh || "" }),
    ],
    body: new SceneGridLayout({ isDraggable: false, isResizable: false, isLazy: false, children: panels.map(toItem) }),
  });
}

// How many annotations the scene has found so far.
export function marksOf(scene) {
  const frames = scene.state.$data.state.layers.flatMap((layer) => layer.state.data?.series ?? []);
  return frames.reduce((sum, frame) => sum + frame.length, 0);
}

function toVariable({ type, current, ...one }, values) {
  const { name, label, description, hide } = one;
  const value = values[name] ?? current?.value ?? "";
  const told = { name, label, description, hide, value, text: values[name] ?? current?.text ?? value };
  if (type === "datasource") {
    return new DataSourceVariable({ ...told, pluginId: one.query });
  }
  if (type !== "query") {
    throw new Error(`variable ${name} is of the type ${type}, which is not drawn here`);
  }
  const { query, datasource, regex, sort, refresh, multi: isMulti, includeAll, allValue } = one;
  return new QueryVariable({ ...told, query, datasource, regex, sort, refresh, isMulti, includeAll, allValue });
}

function toLayer(one) {
  const { name, enable, hide } = one;
  const told = { key: `marks-${name}`, name, query: one, isEnabled: enable, isHidden: Boolean(hide) };
  return new dataLayers.AnnotationsDataLayer(told);
}

function toSwitch(layer) {
  const { name, key } = layer.state;
  const told = (
    <div style={{ display: "flex" }}>
      <ControlsLabel htmlFor={`data-layer-${key}`} label={name} />
      <layer.Component model={layer} />
    </div>
  );
  return new SceneReactObject({ reactNode: told });
}

function toLink({ title, tooltip, url, type }) {
  const icon = type === "dashboards" ? "apps" : "external-link-alt";
  const button = (
    <LinkButton icon={icon} variant="secondary" size="sm" tooltip={tooltip} href={url || "#"}>
      {title}
    </LinkButton>
  );
  return new SceneReactObject({ reactNode: button });
}

function toItem(panel) {
  const { x, y, w: width, h: height } = panel.gridPos;
  return new SceneGridItem({ key: `item-${panel.id}`, x, y, width, height, body: toPanel(panel) });
}

function toPanel({ id, type, title, description, options, fieldConfig, transparent, transformations, ...asked }) {
  const runner = new SceneQueryRunner({
    queries: asked.targets,
    datasource: asked.datasource,
    maxDataPoints: asked.maxDataPoints,
    maxDataPointsFromWidth: true,
    minInterval: asked.interval,
    dataLayerFilter: { panelId: id },
  });
  return new VizPanel({
    key: `panel-${id}`,
    pluginId: type,
    displayMode: transparent ? "transparent" : "default",
    $data: new SceneDataTransformer({ $data: runner, transformations: transformations ?? [] }),
    ...{ title, description, options, fieldConfig },
  });
}
