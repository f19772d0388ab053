// Grafana's time series panel: lines, bars and points over time, with marks of annotations.
import { FieldType, getFieldDisplayName } from "@grafana/data";
import { TimeSeries } from "@grafana/ui";
import { useLayoutEffect, useRef } from "react";

import { registerPanel } from "./plugin";

const isNumber = (field) => field.type === FieldType.number || field.type === FieldType.enum;

function framesOf({ data }) {
  return data.series.filter(
    (frame) =>
      frame.length && frame.fields.some((field) => field.type === FieldType.time) && frame.fields.some(isNumber),
  );
}

function namesOfSeries(properties) {
  const frames = framesOf(properties);
  const fields = frames.flatMap((frame) => frame.fields.filter(isNumber).map((field) => [field, frame]));
  const seen = fields.filter(
    ([field]) => !field.config.custom?.hideFrom?.viz && field.values.some((value) => value !== null),
  );
  return seen.map(([field, frame]) => getFieldDisplayName(field, frame, properties.data.series));
}

function Chart(properties) {
  const { data, options, timeRange, timeZone, width, height } = properties;
  const shared = {
    structureRev: data.structureRev,
    timeRange,
    timeZone,
    width,
    height,
    legend: options.legend,
    options,
  };
  return (
    <TimeSeries frames={framesOf(properties)} {...shared}>
      {(config) => <Marks config={config} frames={data.annotations ?? []} />}
    </TimeSeries>
  );
}

// Dashed lines with a triangle at the foot, as Grafana marks annotations.
export function Marks({ config, frames }) {
  const shown = useRef();
  const plotted = useRef();
  shown.current = frames;
  useLayoutEffect(() => {
    config.addHook("ready", (plot) => (plotted.current = plot));
    config.addHook("draw", (plot) => shown.current.forEach((frame) => drawMarks(plot, frame)));
  }, [config]);
  useLayoutEffect(() => plotted.current?.redraw(false), [frames]); // marks may come after the series
  return null;
}

function drawMarks(plot, frame) {
  const { ctx: pen, bbox } = plot;
  const values = (name) => frame.fields.find((field) => field.name === name)?.values ?? [];
  const colors = values("color");
  pen.save();
  values("time").forEach((time, at) => {
    const x = Math.round(plot.valToPos(time, "x", true));
    if (x < bbox.left || x > bbox.left + bbox.width) {
      return;
    }
    pen.strokeStyle = pen.fillStyle = colors[at] ?? "#00d3ff";
    pen.setLineDash([5, 5]);
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(x, bbox.top);
    pen.lineTo(x, bbox.top + bbox.height);
    pen.stroke();
    pen.beginPath();
    pen.moveTo(x, bbox.top + bbox.height - 1);
    pen.lineTo(x - 5, bbox.top + bbox.height + 5);
    pen.lineTo(x + 5, bbox.top + bbox.height + 5);
    pen.fill();
  });
  pen.restore();
}

export const LEGEND = { showLegend: true, displayMode: "list", placement: "bottom", calcs: [] };
const CLASSIC = { color: { defaultValue: { mode: "palette-classic" } } };

registerPanel("timeseries", {
  draws: Chart,
  marked: true,
  names: namesOfSeries,
  standard: CLASSIC,
  options: { legend: LEGEND, tooltip: { mode: "single", sort: "none" } },
  custom: {
    drawStyle: "line",
    lineInterpolation: "linear",
    barAlignment: 0,
    barWidthFactor: 0.6,
    barMaxWidth: undefined,
    lineWidth: 1,
    fillOpacity: 0,
    gradientMode: "none",
    fillBelowTo: undefined,
    lineStyle: undefined,
    lineColor: undefined,
    spanNulls: false,
    insertNulls: false,
    showPoints: "auto",
    pointSize: 5,
    transform: undefined,
    stacking: { mode: "none", group: "A" },
    axisPlacement: "auto",
    axisLabel: "",
    axisWidth: undefined,
    axisColorMode: "text",
    axisBorderShow: false,
    axisGridShow: undefined,
    axisSoftMin: undefined,
    axisSoftMax: undefined,
    axisCenteredZero: false,
    scaleDistribution: { type: "linear" },
    hideFrom: { tooltip: false, viz: false, legend: false },
    thresholdsStyle: { mode: "off" },
  },
});
