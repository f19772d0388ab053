// Grafana's panels of numbers: stat, bar gauge and table, drawn by the components that its plugins draw with.
import {
  VizOrientation,
  getDisplayProcessor,
  getDisplayValueAlignmentFactors,
  getFieldDisplayName,
  getFieldDisplayValues,
} from "@grafana/data";
import { config } from "@grafana/runtime";
import { BarGauge, BigValue, BigValueGraphMode, BigValueTextMode, VizRepeater, useTheme2 } from "@grafana/ui";
import { TableNG } from "@grafana/ui/unstable";

import { registerPanel } from "./plugin";

const REDUCED = { values: false, calcs: ["lastNotNull"], fields: "" };

function valuesOf({ data, fieldConfig, options, replaceVariables, timeZone }, theme, more = {}) {
  const { series } = data;
  const { reduceOptions } = options;
  return getFieldDisplayValues({
    fieldConfig,
    reduceOptions,
    replaceVariables,
    theme,
    data: series,
    timeZone,
    ...more,
  });
}

function namesOfValues(properties) {
  if (!properties.data.series.some((frame) => frame.length)) {
    return [];
  }
  return valuesOf(properties, config.theme2)
    .filter(({ display }) => Number.isFinite(display.numeric) || display.text)
    .map(({ display }) => display.title);
}

function orientationOf({ options, width, height }) {
  if (options.orientation && options.orientation !== VizOrientation.Auto) {
    return options.orientation;
  }
  return width > height ? VizOrientation.Vertical : VizOrientation.Horizontal;
}

function Stat(properties) {
  const { data, options, fieldConfig, title, width, height, renderCounter } = properties;
  const theme = useTheme2();
  const named = options.textMode === BigValueTextMode.Auto && (fieldConfig.defaults.displayName || !title);
  const sparkline = options.graphMode !== BigValueGraphMode.None;
  const draw = ({ value, alignmentFactors, orientation, width, height, count }) => (
    <BigValue
      value={value.display}
      count={count}
      sparkline={value.sparkline}
      colorMode={options.colorMode}
      graphMode={options.graphMode}
      justifyMode={options.justifyMode}
      textMode={named ? BigValueTextMode.ValueAndName : options.textMode}
      alignmentFactors={alignmentFactors}
      parentOrientation={orientation}
      text={options.text}
      disableWideLayout={!options.wideLayout}
      hasLinks={value.hasLinks}
      percentChangeColorMode={options.percentChangeColorMode}
      {...{ width, height, theme }}
    />
  );
  return (
    <VizRepeater
      getValues={() => valuesOf(properties, theme, { sparkline, percentChange: options.showPercentChange })}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={draw}
      source={data}
      itemSpacing={3}
      autoGrid
      orientation={options.orientation}
      {...{ width, height, renderCounter }}
    />
  );
}

function Bars(properties) {
  const { data, options, width, height, renderCounter } = properties;
  const theme = useTheme2();
  const sized = options.sizing === "manual" ? options : { minVizHeight: 16, minVizWidth: 8, maxVizHeight: 300 };
  const orientation = orientationOf(properties);
  const draw = ({ value, alignmentFactors, orientation, width, height, isOverflow }) => (
    <BarGauge
      value={value.display}
      field={value.field}
      display={
        value.view?.getFieldDisplayProcessor(value.colIndex) ??
        getDisplayProcessor({ field: { config: value.field }, theme })
      }
      text={options.text}
      displayMode={options.displayMode}
      itemSpacing={options.displayMode === "lcd" ? 2 : 10}
      showUnfilled={options.showUnfilled}
      valueDisplayMode={options.valueMode}
      namePlacement={options.namePlacement}
      {...{ width, height, orientation, alignmentFactors, isOverflow, theme }}
    />
  );
  return (
    <VizRepeater
      getValues={() => valuesOf(properties, theme)}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={draw}
      source={data}
      itemSpacing={options.displayMode === "lcd" ? 2 : 10}
      minVizWidth={sized.minVizWidth}
      minVizHeight={sized.minVizHeight}
      maxVizHeight={sized.maxVizHeight}
      {...{ width, height, renderCounter, orientation }}
    />
  );
}

function Table({ data, options, fieldConfig, timeRange, width, height, transparent }) {
  return (
    <TableNG
      data={data.series[options.frameIndex] ?? data.series[0]}
      noHeader={!options.showHeader}
      showTypeIcons={options.showTypeIcons}
      resizable
      sortBy={options.sortBy}
      initialSortBy={options.sortBy}
      frozenColumns={options.frozenColumns?.left}
      enablePagination={options.enablePagination ?? options.footer?.enablePagination}
      cellHeight={options.cellHeight}
      maxRowHeight={options.maxRowHeight}
      structureRev={data.structureRev}
      {...{ width, height, timeRange, fieldConfig, transparent }}
    />
  );
}

function namesOfColumns({ data, options }) {
  const frame = data.series[options.frameIndex] ?? data.series[0];
  if (!frame?.length) {
    return [];
  }
  const seen = frame.fields.filter((field) => !field.config.custom?.hideFrom?.viz && !field.config.custom?.hidden);
  return seen.map((field) => getFieldDisplayName(field, frame, data.series));
}

registerPanel("stat", {
  saysEmpty: true,
  draws: Stat,
  names: namesOfValues,
  options: {
    reduceOptions: REDUCED,
    orientation: "auto",
    textMode: "auto",
    wideLayout: true,
    colorMode: "value",
    graphMode: "area",
    justifyMode: "auto",
    showPercentChange: false,
    percentChangeColorMode: "standard",
  },
});
registerPanel("bargauge", {
  saysEmpty: true,
  draws: Bars,
  names: namesOfValues,
  options: {
    reduceOptions: REDUCED,
    orientation: "auto",
    displayMode: "gradient",
    valueMode: "color",
    namePlacement: "auto",
    showUnfilled: true,
    sizing: "auto",
    minVizWidth: 8,
    minVizHeight: 16,
    maxVizHeight: 300,
  },
});
registerPanel("table", {
  draws: Table,
  names: namesOfColumns,
  options: { frameIndex: 0, showHeader: true, showTypeIcons: false, cellHeight: "sm", sortBy: [] },
  custom: {
    align: "auto",
    cellOptions: { type: "auto" },
    inspect: false,
    width: undefined,
    minWidth: undefined,
    filterable: undefined,
    hidden: undefined,
    "hideFrom.viz": undefined,
    wrapHeaderText: undefined,
    footer: undefined,
    tooltip: undefined,
  },
});
