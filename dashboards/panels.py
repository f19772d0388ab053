"""The few kinds of panel that the dashboards are made of, each with what every panel must have.

That is a title, a line of help, a unit, thresholds where they mean something, and what to say when there is nothing.
Sizes are in Grafana's grid: 24 columns, rows of 38 pixels.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model

from .targets import SOURCE, Target, lettered

Steps = Sequence[tuple[float | None, str]]
Property = tuple[str, object]  # of a field, as Grafana's overrides call it
Words = Mapping[str, tuple[str, str]]  # values as (text, colour)
AnyPanel = Builder[model.Panel]
Panel = TypeVar("Panel", timeseries.Panel, stat.Panel, table.Panel, bargauge.Panel, statetimeline.Panel)

GREEN, ORANGE, RED, BLUE, PURPLE, GREY, DARK = "green", "orange", "red", "blue", "purple", "#8e8e8e", "#464c54"
NOTHING: Words = MappingProxyType({})
PLAIN: Steps = ((None, BLUE),)
FEW_POINTS = 200
GONE_MS = 2 * 3600 * 1000  # a line bridges nothing up to so long: a device that sleeps; a longer pause is a gap


class Text(NamedTuple):
    """What a panel says in words. empty: shown when there is no value."""

    title: str
    help: str
    empty: str = "nothing yet"


class Size(NamedTuple):
    width: int
    height: int


def steps(colours: Steps) -> dashboard.ThresholdsConfig:
    """Thresholds: the colour from each value on; the first, for everything below, has the value None."""
    made = [model.Threshold(value, colour) for value, colour in colours]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(made)


def words(texts: Words) -> list[model.ValueMapping]:
    """Values shown as (text, colour), so that nothing is told by a colour alone."""
    options = {
        value: model.ValueMappingResult(text=text, color=colour, index=place)
        for place, (value, (text, colour)) in enumerate(texts.items())
    }
    return [model.ValueMap(options=options)] if options else []


def absent(text: str, colour: str) -> model.ValueMapping:
    """What is shown for no value: else that takes the colour of the lowest threshold, and looks as if all were well."""
    shown = model.ValueMappingResult(text=text, color=colour, index=0)
    options = model.DashboardSpecialValueMapOptions(model.SpecialValueMatch.NULL_AND_NAN, shown)
    return model.SpecialValueMap(options=options)


def properties(pairs: Sequence[Property]) -> list[model.DynamicConfigValue]:
    """What a field has for itself, against what its panel has for all."""
    return [model.DynamicConfigValue(id_val=word, value=value) for word, value in pairs]


def finish(
    panel: Panel, text: Text, size: Size, targets: Sequence[Target], unit: str, colours: Steps, every: str = ""
) -> Panel:
    """The panel with all that every panel has."""
    by_line = isinstance(panel, timeseries.Panel | statetimeline.Panel)
    palette = model.FieldColorModeId.PALETTE_CLASSIC if by_line else model.FieldColorModeId.THRESHOLDS
    panel = panel.color_scheme(dashboard.FieldColor().mode(palette))
    panel = panel.title(text.title).description(text.help).no_value(text.empty).datasource(SOURCE)
    panel = panel.span(size.width).height(size.height).unit(unit).thresholds(steps(colours))
    panel = panel.interval(every) if every else panel
    return panel.targets(lettered(tuple(targets)))  # type: ignore[arg-type]  # a Builder of the class that it builds


def tile(
    text: Text, size: Size, query: str, unit: str = "none", colours: Steps = PLAIN, texts: Words = NOTHING
) -> stat.Panel:
    """One number, its tile in the colour of its threshold; texts: words for some values of it."""
    panel = finish(stat.Panel(), text, size, [Target(query, "$col")], unit, colours)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
    panel = panel.mappings([absent(text.empty, DARK), *words(texts)])
    panel = panel.color_mode(common_model.BigValueColorMode.BACKGROUND_SOLID)
    return panel.graph_mode(common_model.BigValueGraphMode.NONE).text_mode(common_model.BigValueTextMode.VALUE)


def saying(text: Text, size: Size, query: str, column: str) -> stat.Panel:
    """One text: the last of a column."""
    panel = finish(stat.Panel(), text, size, [Target(query)], "string", PLAIN)
    panel = panel.reduce_options(
        common.ReduceDataOptions().calcs(["lastNotNull"]).fields(f"/^{column}$/").values(False)
    )
    panel = panel.color_mode(common_model.BigValueColorMode.NONE).graph_mode(common_model.BigValueGraphMode.NONE)
    return panel.text_mode(common_model.BigValueTextMode.VALUE)


class Look(NamedTuple):
    """How lines are drawn. filled: percent. every: shortest window of $__interval."""

    unit: str = "none"
    colours: Steps = PLAIN
    stacked: bool = False
    bars: bool = False
    points: bool = False
    filled: int = 10
    lowest: float | None = 0
    highest: float | None = None
    every: str = "10s"
    line: bool = False  # the thresholds are drawn as lines
    many: bool = False  # too many lines for a legend
    few: bool = False  # windows, as it is asked of all devices; so it is with bars and many lines
    names: Words = NOTHING  # of a series: what it is called, and its colour
    areas: tuple[str, ...] = ()  # series that are drawn as areas behind the others
    dashed: tuple[str, ...] = ()


LOOK = Look()


class Bars(NamedTuple):
    """In which order bars stand (of a table: its column; empty: as they come), and how long the longest can be."""

    sorted_by: str = ""
    largest_first: bool = True
    highest: float | None = None
    colours: Mapping[str, str] = MappingProxyType({})  # of series by their names
    above: bool = False  # the names stand above the bars: long ones


def lines(text: Text, size: Size, targets: Sequence[Target], look: Look = LOOK) -> timeseries.Panel:
    """Values over time, one line a series."""
    panel = finish(timeseries.Panel(), text, size, targets, look.unit, look.colours, look.every)
    drawn = common_model.GraphDrawStyle.BARS if look.bars else common_model.GraphDrawStyle.LINE
    solid = look.bars or look.stacked  # a line of nothing on a stack would look like something
    panel = panel.draw_style(drawn).line_width(0 if solid else 2).fill_opacity(70 if solid else look.filled)
    panel = panel.span_nulls(GONE_MS)
    shown = common_model.VisibilityMode.ALWAYS if look.points else common_model.VisibilityMode.AUTO
    panel = panel.show_points(shown).point_size(5)
    if look.bars or look.many or look.few:  # bars that can be seen, and less work with many devices
        panel = panel.max_data_points(FEW_POINTS)
    if look.stacked:
        panel = panel.stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL).group("A"))
    if look.lowest is not None:
        panel = panel.min(look.lowest)
    if look.highest is not None:
        panel = panel.max(look.highest)
    if look.line:
        style = common.GraphThresholdsStyleConfig().mode(common_model.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds_style(style).axis_soft_max(1.25 * max(value or 0 for value, _ in look.colours))
    for name, (shown_as, colour) in look.names.items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        own: list[Property] = [("displayName", shown_as), ("color", fixed)]
        own += [("custom.fillOpacity", 30), ("custom.lineWidth", 0)] if name in look.areas else []
        own += [("custom.lineStyle", {"fill": "dash", "dash": [8, 8]})] if name in look.dashed else []
        panel = panel.override_by_name(name, properties(own))
    legend = common.VizLegendOptions().show_legend(not look.many).display_mode(common_model.LegendDisplayMode.LIST)
    panel = panel.legend(legend.placement(common_model.LegendPlacement.BOTTOM).calcs([]))
    shown_of = common_model.TooltipDisplayMode.SINGLE if look.many else common_model.TooltipDisplayMode.MULTI
    tooltip = common.VizTooltipOptions().mode(shown_of)
    return panel.tooltip(tooltip.sort(common_model.SortOrder.DESCENDING))


def bars(text: Text, size: Size, targets: Sequence[Target], unit: str, colours: Steps, more: Bars) -> bargauge.Panel:
    """Bars: one a row of a table (its number, named by its text), or one a series (its last value)."""
    panel = finish(bargauge.Panel(), text, size, targets, unit, colours)
    rows = not targets[0].alias
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(rows).limit(10))
    panel = panel.orientation(common_model.VizOrientation.HORIZONTAL).min(0)
    panel = panel.display_mode(common_model.BarGaugeDisplayMode.BASIC).show_unfilled(True)
    panel = panel.value_mode(common_model.BarGaugeValueMode.COLOR)
    panel = panel.mappings([absent(text.empty, GREY)])
    for name, colour in more.colours.items():
        panel = panel.override_by_name(name, properties((("color", {"mode": "fixed", "fixedColor": colour}),)))
    if more.above:
        panel = panel.name_placement(common_model.BarGaugeNamePlacement.TOP)
    if more.sorted_by:  # a database answers top() and bottom() in the order of time
        by = {"fields": {}, "sort": [{"field": more.sorted_by, "desc": more.largest_first}]}
        panel = panel.with_transformation(model.DataTransformerConfig("sortBy", options=by))
    return panel if more.highest is None else panel.max(more.highest)


def timeline(text: Text, size: Size, target: Target, texts: Words) -> statetimeline.Panel:
    """Words over time, as stretches of colour."""
    panel = finish(statetimeline.Panel(), text, size, [target], "none", PLAIN)
    panel = panel.mappings(words(texts)).merge_values(True).row_height(0.8)
    panel = panel.show_value(common_model.VisibilityMode.AUTO).fill_opacity(80)
    legend = common.VizLegendOptions().show_legend(False).display_mode(common_model.LegendDisplayMode.LIST)
    return panel.legend(legend.placement(common_model.LegendPlacement.BOTTOM).calcs([]))
