// State timeline: words over time as stretches of colour, one row a series. npm has Grafana's plot and axes but not
// this panel, so the stretches are drawn here, by the rules of Grafana's: equal neighbours are one, the last goes on to
// the end.
import { FieldType, formattedValueToString, getFieldDisplayName } from "@grafana/data";
import { AxisPlacement, ScaleDirection, ScaleOrientation } from "@grafana/schema";
import {
  UPlotChart,
  UPlotConfigBuilder,
  VizLayout,
  VizLegend,
  colors,
  getTextColorForAlphaBackground,
  useTheme2,
} from "@grafana/ui";
import { useMemo } from "react";

import { LEGEND, Marks } from "./charts";
import { registerPanel } from "./plugin";

const FONT_PX = 12;
const PADDING_PX = 4;

// [{ name, field, times, values }], a row a value field that has something.
function rowsOf({ data }) {
  return data.series.flatMap((frame) => {
    const time = frame.fields.find((field) => field.type === FieldType.time);
    const told = time
      ? frame.fields.filter((field) => field !== time && field.values.some((value) => value !== null))
      : [];
    return told.map((field) => ({
      name: getFieldDisplayName(field, frame, data.series),
      field,
      times: time.values,
      values: field.values,
    }));
  });
}

// Stretches of one value: [from, to, value] in ms; nothing where the value is null.
function stretchesOf({ times, values }, end, merged) {
  const starts = [...times.keys()].filter((at) => !merged || !at || values[at] !== values[at - 1]);
  const all = starts.map((at, place) => [times[at], times[starts[place + 1]] ?? end, values[at]]);
  return all.filter(([, , value]) => value !== null && value !== undefined);
}

function Timeline(properties) {
  const { options, timeRange, timeZone, width, height, data } = properties;
  const theme = useTheme2();
  const rows = rowsOf(properties);
  const config = useMemo(
    () => configOf(rows, options, theme, timeRange, timeZone),
    [data.series, options, timeRange, timeZone, theme],
  );
  const plotted = [
    [timeRange.from.valueOf(), timeRange.to.valueOf()],
    [0, rows.length],
  ];
  const legend = options.legend.showLegend ? <Legend rows={rows} options={options} theme={theme} /> : null;
  return (
    <VizLayout width={width} height={height} legend={legend}>
      {(width, height) => (
        <UPlotChart config={config} data={plotted} width={width} height={height}>
          <Marks config={config} frames={data.annotations ?? []} />
        </UPlotChart>
      )}
    </VizLayout>
  );
}

function configOf(rows, options, theme, timeRange, timeZone) {
  const config = new UPlotConfigBuilder(timeZone);
  const range = [timeRange.from.valueOf(), timeRange.to.valueOf()];
  const centres = rows.map((_, at) => rows.length - at - 0.5);
  const { Horizontal, Vertical } = ScaleOrientation;
  config.addScale({
    scaleKey: "x",
    isTime: true,
    orientation: Horizontal,
    direction: ScaleDirection.Right,
    range: () => range,
  });
  config.addScale({
    scaleKey: "y",
    orientation: Vertical,
    direction: ScaleDirection.Up,
    range: () => [0, rows.length],
  });
  config.addAxis({
    scaleKey: "x",
    isTime: true,
    placement: AxisPlacement.Bottom,
    timeZone,
    theme,
    grid: { show: true },
  });
  const named = { splits: () => centres, values: () => rows.map(({ name }) => name) };
  config.addAxis({
    scaleKey: "y",
    placement: AxisPlacement.Left,
    theme,
    grid: { show: false },
    ticks: { show: false },
    ...named,
  });
  config.addSeries({
    scaleKey: "y",
    theme,
    pathBuilder: () => null,
    pointsBuilder: () => null,
    show: true,
    lineColor: "transparent",
  });
  config.addHook("draw", (plot) => rows.forEach((row, at) => drawRow(plot, row, centres[at], options, theme, range)));
  return config;
}

function drawRow(plot, row, centre, options, theme, [start, end]) {
  const { ctx: pen } = plot;
  const half = options.rowHeight / 2;
  const top = plot.valToPos(centre + half, "y", true);
  const tall = plot.valToPos(centre - half, "y", true) - top;
  pen.save();
  for (const [from, to, value] of stretchesOf(row, end, options.mergeValues)) {
    const left = plot.valToPos(Math.max(from, start), "x", true);
    const wide = plot.valToPos(Math.min(to, end), "x", true) - left;
    const shown = row.field.display(value);
    const opacity = row.field.config.custom.fillOpacity / 100;
    pen.globalAlpha = opacity;
    pen.fillStyle = shown.color;
    pen.fillRect(left, top, Math.max(wide, 1), tall);
    pen.globalAlpha = 1;
    if (options.showValue !== "never") {
      drawText(pen, shown, [left, top, wide, tall], opacity, options, theme);
    }
  }
  pen.restore();
}

function drawText(pen, shown, [left, top, wide, tall], opacity, { alignValue }, theme) {
  const size = FONT_PX * devicePixelRatio;
  const text = formattedValueToString(shown);
  pen.font = `${size}px ${theme.typography.fontFamily}`;
  if (pen.measureText(text).width + 2 * PADDING_PX > wide || size > tall) {
    return;
  }
  const x = { left: left + PADDING_PX, center: left + wide / 2, right: left + wide - PADDING_PX }[alignValue];
  pen.textAlign = alignValue;
  pen.textBaseline = "middle";
  pen.fillStyle =
    opacity < 1 ? getTextColorForAlphaBackground(shown.color, theme.isDark) : theme.colors.getContrastText(shown.color);
  pen.fillText(text, x, top + tall / 2);
}

function Legend({ rows, options, theme }) {
  const seen = new Map(
    rows.flatMap(({ field, values }) =>
      [...new Set(values)]
        .filter((value) => value !== null)
        .map((value) => {
          const { text, color } = field.display(value);
          return [text, color];
        }),
    ),
  );
  const items = [...seen].map(([label, color]) => ({ label, color: color ?? colors[0], yAxis: 1 }));
  const { placement, displayMode } = options.legend;
  return (
    <VizLayout.Legend placement={placement}>
      <VizLegend {...{ placement, displayMode, items, theme }} />
    </VizLayout.Legend>
  );
}

registerPanel("state-timeline", {
  draws: Timeline,
  marked: true,
  names: (properties) => rowsOf(properties).map(({ name }) => name),
  standard: { color: { defaultValue: { mode: "continuous-GrYlRd" } } },
  options: { mergeValues: true, showValue: "auto", alignValue: "left", rowHeight: 0.9, legend: LEGEND },
  custom: {
    fillOpacity: 70,
    lineWidth: 0,
    spanNulls: false,
    insertNulls: false,
    hideFrom: { tooltip: false, viz: false, legend: false },
  },
});
