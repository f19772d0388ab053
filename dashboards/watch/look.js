// How charts write their numbers; charts.py names these functions.
window.tegu = {
  short: (v) => (v === 0 ? "0" : Math.abs(v) < 9.995 ? v.toFixed(2).replace(/\.?0+$/, "") : Math.abs(v) < 99.95 ? v.toFixed(1).replace(/\.0$/, "") : Math.round(v).toLocaleString("en")),
  scaled: (v, units) => {
    if (v === null || v === undefined || Number.isNaN(v)) return "–";
    if (v === 0) return "0 " + units.zero;
    const [unit, size] = units.steps.find(([, s]) => Math.abs(v) >= s * 0.9995) || units.steps[units.steps.length - 1];
    return tegu.short(v / size) + " " + unit;
  },
  bytes: (v) => tegu.scaled(v, { zero: "B", steps: [["GB", 1e9], ["MB", 1e6], ["kB", 1e3], ["B", 1]] }),
  joules: (v) => tegu.scaled(v, { zero: "J", steps: [["MJ", 1e6], ["kJ", 1e3], ["J", 1], ["mJ", 1e-3], ["µJ", 1e-6]] }),
  unit: (v, unit) => (v === null || v === undefined ? "–" : tegu.short(v) + " " + unit),
  seconds: (v) => tegu.unit(v, "s"),
  minutes: (v) => tegu.unit(v, "min"),
  hours: (v) => tegu.unit(v, "h"),
  milliseconds: (v) => tegu.unit(v, "ms"),
  percent: (v) => tegu.unit(v, "%"),
  count: (v) => (v === null || v === undefined ? "–" : tegu.short(v)),
  number: (v) => (v === null || v === undefined ? "–" : Math.abs(v) < 1 && v !== 0 ? String(Number(v.toPrecision(3))) : tegu.short(v)),
};
