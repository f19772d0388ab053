// What Grafana's server and its own front end give to its npm packages: registries, services, a user, a place.
import {
  EventBusSrv,
  LoadingState,
  booleanOverrideProcessor,
  dataLinksOverrideProcessor,
  displayNameOverrideProcessor,
  identityOverrideProcessor,
  locationUtil,
  numberOverrideProcessor,
  standardEditorsRegistry,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  stringOverrideProcessor,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
} from "@grafana/data";
import * as runtime from "@grafana/runtime";
import { sceneGraph } from "@grafana/scenes";
import { catchError, from, map, of, startWith } from "rxjs";

// Grafana's standard field options, in its order, with how each value is read.
const STANDARD_OPTIONS = [
  ["unit", unitOverrideProcessor],
  ["min", numberOverrideProcessor],
  ["max", numberOverrideProcessor],
  ["fieldMinMax", booleanOverrideProcessor],
  ["decimals", numberOverrideProcessor],
  ["displayName", displayNameOverrideProcessor],
  ["color", identityOverrideProcessor],
  ["noValue", stringOverrideProcessor],
  ["links", dataLinksOverrideProcessor],
  ["actions", identityOverrideProcessor],
  ["mappings", valueMappingsOverrideProcessor, []],
  ["thresholds", thresholdsOverrideProcessor, thresholds()],
  ["filterable", booleanOverrideProcessor],
];

function thresholds() {
  const steps = [
    { value: -Infinity, color: "green" },
    { value: 80, color: "red" },
  ];
  return { mode: "absolute", steps };
}

export function fieldOption(id, process, defaultValue) {
  const bare = { id, path: id, name: id, process, defaultValue, shouldApply: () => true };
  return { ...bare, editor: () => null, override: () => null, getItemsCount: (value) => (value ? value.length : 0) };
}

function transformerItems() {
  return [...new Set(Object.values(standardTransformers))].map((one) => ({
    id: one.id,
    name: one.name,
    transformation: async () => one,
    editor: () => null,
  }));
}

export function prepareGrafana(sources) {
  standardEditorsRegistry.setInit(() => []);
  standardFieldConfigEditorRegistry.setInit(() =>
    STANDARD_OPTIONS.map(([id, process, value]) => fieldOption(id, process, value)),
  );
  standardTransformersRegistry.setInit(transformerItems);
  runtime.setAppEvents(new EventBusSrv());
  runtime.setRunRequest(runRequest);
  runtime.setPluginImportUtils({ importPanelPlugin: unknownPanel, getPanelPluginFromCache: () => undefined });
  runtime.setTemplateSrv({ replace: (text) => text, getVariables: () => [], containsTemplate: () => false });
  runtime.setDataSourceSrv(sourceService(sources));
  const urls = { getTimeRangeForUrl: () => ({}), getVariablesUrlParams: () => ({}) };
  locationUtil.initialize({ config: { appSubUrl: "" }, ...urls });
}

async function unknownPanel(type) {
  throw new Error(`panels of the type ${type} are not drawn here`);
}

// Every reference that names a known uid or type finds its source; the rest is told by name.
function sourceService(sources) {
  const find = (ref) =>
    sources.find((one) =>
      [one.uid, one.name, one.type].includes(typeof ref === "string" ? ref : (ref?.uid ?? ref?.type)),
    );
  const known = (ref) => {
    const found = ref ? find(ref) : sources[0];
    if (!found) {
      throw new Error(`Datasource ${JSON.stringify(ref)} was not found`);
    }
    return found;
  };
  return {
    get: async (ref, scopedVars) => known(resolved(ref, scopedVars)),
    getInstanceSettings: (ref) => find(ref)?.settings,
    getList: () => sources.map((one) => one.settings),
    reload: () => {},
  };
}

// ${datasource} in a reference, by the scene that asks.
function resolved(ref, scopedVars) {
  const scene = scopedVars?.__sceneObject?.value.valueOf();
  const uid = typeof ref === "string" ? ref : ref?.uid;
  if (!uid?.includes("$") || !scene) {
    return ref;
  }
  return { ...ref, uid: sceneGraph.interpolate(scene, uid) };
}

function runRequest(source, request) {
  const { range: timeRange } = request;
  const loading = { state: LoadingState.Loading, series: [], timeRange, request };
  return from(source.query(request)).pipe(
    map(({ data }) => ({ state: LoadingState.Done, series: data, annotations: [], timeRange, request })),
    catchError((error) => {
      const told = { message: error.message };
      return of({ state: LoadingState.Error, series: [], timeRange, request, error: told, errors: [told] });
    }),
    startWith(loading),
  );
}
