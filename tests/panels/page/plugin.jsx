// A panel plugin for one type of panel: its options with Grafana's defaults, and a component that draws its frames.
import { LoadingState, PanelPlugin, identityOverrideProcessor } from "@grafana/data";
import { sceneUtils } from "@grafana/scenes";
import { useEffect } from "react";

import { fieldOption } from "./grafana";
import { record } from "./record";

// draws: component of Grafana's panel properties. names: (properties) -> what the panel shows, by name.
// custom: default of each custom field option. standard: settings of the standard ones. options: default of each.
// marked: it shows annotations. saysEmpty: it has its own way to say that there is nothing.
export function registerPanel(
  type,
  { draws, names, custom = {}, standard = {}, options = {}, marked = false, saysEmpty = false },
) {
  const plugin = new PanelPlugin(shell(draws, names, marked, saysEmpty));
  plugin.setDataSupport({ annotations: marked, alertStates: marked });
  plugin.useFieldConfig({
    standardOptions: standard,
    useCustomConfig: (builder) =>
      Object.entries(custom).forEach(([id, value]) =>
        builder.addCustomEditor(fieldOption(id, identityOverrideProcessor, value)),
      ),
  });
  plugin.setPanelOptions((builder) =>
    Object.entries(options).forEach(([path, defaultValue]) =>
      builder.addCustomEditor({ id: path, path, name: path, defaultValue, editor: () => null }),
    ),
  );
  sceneUtils.registerRuntimePanelPlugin({ pluginId: type, plugin });
}

function shell(Draws, names, marked, saysEmpty) {
  return function Panel(properties) {
    const { data, id } = properties;
    const finished = data.state === LoadingState.Done || data.state === LoadingState.Error;
    const told = finished ? names(properties) : [];
    const empty = !told.length;
    useEffect(() => {
      if (finished) {
        const error = data.error?.message ?? data.errors?.[0]?.message ?? null;
        record(id, { names: told, error, marks: marked ? marksIn(data) : undefined });
      }
    });
    if (empty && !saysEmpty) {
      return <Empty {...properties} />;
    }
    return (
      <div data-empty={empty || undefined}>
        <Draws {...properties} />
      </div>
    );
  };
}

function marksIn({ annotations = [] }) {
  return annotations.reduce((sum, frame) => sum + frame.length, 0);
}

function Empty({ fieldConfig, width, height }) {
  const style = { width, height, display: "flex", alignItems: "center", justifyContent: "center", textAlign: "center" };
  return (
    <div data-empty style={style}>
      {fieldConfig.defaults.noValue || "No data"}
    </div>
  );
}
