// What Grafana's InfluxDB data source does with InfluxQL, by Grafana 13's rules: variables and macros in, frames out.
//
// A `time_series` answer becomes one frame a column and series, its value named by the alias or
// `measurement.column { tag: value }`; a `table` answer becomes one frame: Time, the tags, the columns.
import { DataSourceApi, FieldType, LoadingState, createDataFrame, escapeRegex } from "@grafana/data";
import { sceneGraph } from "@grafana/scenes";

const ALIAS = /\$(\w+)|\[\[([\s\S]+?)\]\]/g;

export class InfluxSource extends DataSourceApi {
  constructor(settings, ask) {
    super(settings);
    this.ask = ask; // (InfluxQL) -> promise of InfluxDB's answer, times in ms
    this.annotations = { prepareAnnotation: (one) => one };
  }

  async query(request) {
    const shown = request.targets.filter((target) => !target.hide);
    const answers = await Promise.all(shown.map((target) => this.frames(target, request)));
    return { data: answers.flat(), state: LoadingState.Done };
  }

  async frames(target, request) {
    const { __interval, __interval_ms, ...rest } = request.scopedVars;
    const scene = sceneOf(request.scopedVars);
    const text = fillMacros(interpolate(scene, target.query ?? "", rest), request);
    const alias = sceneGraph.interpolate(scene, target.alias ?? "", request.scopedVars);
    const series = seriesOf(await this.ask(text));
    const frames = toFrames(series, target, alias, request);
    return frames.map((frame) =>
      createDataFrame({ ...frame, refId: target.refId, meta: { executedQueryString: text } }),
    );
  }

  // Values of a variable: the last column of what SHOW TAG VALUES or SELECT answers.
  async metricFindQuery(query, options) {
    const text = typeof query === "string" ? query : query.query;
    const scene = sceneOf(options.scopedVars);
    const asked = fillMacros(interpolate(scene, text, options.scopedVars), {
      ...options,
      interval: "1m",
      intervalMs: 60_000,
    });
    const series = seriesOf(await this.ask(asked));
    return series.flatMap((one) => one.values.map((row) => ({ text: String(row[row.length > 1 ? 1 : 0]) })));
  }
}

function sceneOf(scopedVars) {
  return scopedVars.__sceneObject.value.valueOf();
}

function interpolate(scene, text, scopedVars) {
  return sceneGraph.interpolate(scene, text, scopedVars, (value, variable) => escaped(value, variable, text));
}

// A variable of several values is always part of a regular expression; a single one is where it stands between slashes.
function escaped(value, variable, query) {
  if (variable.multi) {
    if (typeof value === "string") {
      return Number.isNaN(parseFloat(value)) ? escapeRegex(value) : value;
    }
    return `(${value.map((one) => escapeRegex(one)).join("|")})`;
  }
  const inExpression = new RegExp(`\\/(?:\\^)?(.*)(\\$\\{?${variable.name})(.*)(?:\\$)?\\/`, "m");
  return inExpression.test(query) && typeof value === "string" ? escapeRegex(value) : value;
}

function fillMacros(text, { range, interval, intervalMs }) {
  const filter = `time >= ${range.from.valueOf()}ms and time <= ${range.to.valueOf()}ms`;
  return text
    .replaceAll("$timeFilter", filter)
    .replaceAll("${__interval}", interval)
    .replaceAll("$interval", interval)
    .replaceAll("$__interval_ms", String(intervalMs))
    .replaceAll("$__interval", interval);
}

function seriesOf(answer) {
  const error = answer.error ?? answer.results?.find((result) => result.error)?.error;
  if (error) {
    throw new Error(`InfluxDB returned error: ${error}`);
  }
  return answer.results.flatMap((result) => result.series ?? []);
}

function toFrames(series, target, alias, request) {
  if (target.fromAnnotations) {
    return series.map((one) => toMarks(one, target));
  }
  return target.resultFormat === "table" ? toTable(series) : toTimeSeries(series, alias, request);
}

function typeOf(values) {
  const first = values.find((value) => value !== null && value !== undefined);
  const types = { string: FieldType.string, boolean: FieldType.boolean };
  return types[typeof first] ?? FieldType.number;
}

function toTimeSeries(series, alias, request) {
  return series.flatMap((one) =>
    one.columns
      .map((column, at) => [column, at])
      .filter(([column]) => column !== "time")
      .map(([column, at]) => {
        const name = alias ? fillAlias(alias, one, column, request) : defaultName(one, column);
        const values = one.values.map((row) => row[at]);
        const time = { name: "Time", type: FieldType.time, values: one.values.map((row) => row[0]), config: {} };
        const config = { displayNameFromDS: name };
        return { name, fields: [time, { name: "Value", type: typeOf(values), values, labels: one.tags, config }] };
      }),
  );
}

function defaultName(one, column) {
  const tags = Object.entries(one.tags ?? {}).map(([key, value]) => `${key}: ${value}`);
  return `${one.name}.${column}${tags.length ? ` { ${tags.join(", ")} }` : ""}`;
}

function fillAlias(alias, one, column, request) {
  return alias.replace(ALIAS, (whole, dollar, brackets) => {
    const word = dollar ?? brackets;
    const known = { m: one.name, measurement: one.name, col: column, __interval: request.interval };
    if (word in known) {
      return known[word];
    }
    const part = one.name.split(".")[Number(word)];
    const tag = word.startsWith("tag_") ? one.tags?.[word.slice(4)] : part;
    return tag ?? whole;
  });
}

function toTable(series) {
  if (!series.length) {
    return [];
  }
  const { name, columns, tags = {} } = series[0];
  const column = (at) => series.flatMap((one) => one.values.map((row) => row[at]));
  const timed = columns[0] === "time";
  const fields = Object.keys(tags).map((key) => {
    const values = series.flatMap((one) => one.values.map(() => one.tags[key]));
    return { name: key, type: FieldType.string, values, config: { displayNameFromDS: key } };
  });
  for (let at = 1; at < columns.length; at++) {
    const values = column(at);
    fields.push({ name: columns[at], type: typeOf(values), values, config: { displayNameFromDS: columns[at] } });
  }
  const first = timed
    ? { name: "Time", type: FieldType.time, values: column(0), config: {} }
    : { name: columns[0], type: typeOf(column(0)), values: column(0), config: {} };
  return [{ name, fields: [first, ...fields] }];
}

// Annotations: times, and the columns that were chosen for title and text; without a choice the first text is the text.
function toMarks(one, { titleColumn, textColumn }) {
  const told = (column, row) => row[one.columns.indexOf(column)] ?? one.tags?.[column];
  const text = (row) => (textColumn ? told(textColumn, row) : row.find((value, at) => at && typeof value === "string"));
  const fields = [
    { name: "time", type: FieldType.time, values: one.values.map((row) => row[0]), config: {} },
    { name: "title", type: FieldType.string, values: one.values.map((row) => told(titleColumn, row)), config: {} },
    { name: "text", type: FieldType.string, values: one.values.map(text), config: {} },
  ];
  return { name: one.name, fields };
}
