"""What all dashboards share: the choices above them, links between them, marks of events."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models import dashboard as model

from .influxql import SCOPE, checked
from .panels import AnyPanel
from .targets import SOURCE

TAG = "tegu"
# For an address of another dashboard: same database, site, model and time.
KEEP = "${datasource:queryparam}&${site:queryparam}&${model:queryparam}&${__url_time_range}"
DEVICE_PAGE = "/d/tegu-device/device?" + KEEP + "&var-device="
# Marks by their kind: name and colour. Those that a page does not show at first have a switch: versions come all day.
MARKS = {
    "version": ("Versions", "blue"),
    "rollback": ("Rollbacks", "red"),
    "restart": ("Restarts", "orange"),
    "trouble": ("Visits", "purple"),
}


class Mark(model.AnnotationQuery):
    """An annotation as the datasource of InfluxDB reads it; the SDK's own class knows no query."""

    def __init__(self, name: str, kind: str, colour: str, shown: bool) -> None:
        super().__init__(name=name, datasource=SOURCE, icon_color=colour, enable=shown)
        self.kind = kind

    def build(self) -> "Mark":
        return self

    def to_json(self) -> dict[str, object]:
        """One mark an event, with its text."""
        query = checked(f'SELECT "text" FROM "event" WHERE $timeFilter AND "kind" = \'{self.kind}\' AND {SCOPE}')
        target = {
            "refId": "Anno",
            "query": query,
            "queryType": "tags",
            "rawQuery": True,
            "resultFormat": "table",
            "fromAnnotations": True,
            "name": self.name,
            "textColumn": "text",
            "tagsColumn": "",
            "titleColumn": "",
            "timeEndColumn": "",
        }
        return super().to_json() | {"target": target}


def choice(name: str, label: str, query: str, several: bool = True) -> dashboard.QueryVariable:
    """A choice among the values of a tag; among several, all of them is the first and what is chosen at first."""
    made = dashboard.QueryVariable(name).label(label).query(checked(query)).datasource(SOURCE)
    made = made.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(model.VariableSort.ALPHABETICAL_ASC)
    if several:
        everything = model.VariableOption(text="All", value="$__all", selected=True)
        made = made.multi(True).include_all(True).all_value(".*").current(everything)
    return made


SITE = 'SHOW TAG VALUES FROM "status" WITH KEY = "site"'
MODEL = 'SHOW TAG VALUES FROM "status" WITH KEY = "model" WHERE "site" =~ /^${site:regex}$/'
DEVICE = f'SHOW TAG VALUES FROM "status" WITH KEY = "device" WHERE {SCOPE}'


def page(
    name: str,
    title: str,
    description: str,
    panels: Sequence[AnyPanel],
    device: str = "",
    days: int = 1,
    marks: tuple[str, ...] = (),
) -> model.Dashboard:
    """A dashboard with the stable uid tegu-NAME.

    device: one or several, if devices can be chosen. marks: shown at first, beside rollbacks and restarts.
    """
    made = dashboard.Dashboard(title).uid(f"{TAG}-{name}").description(description).tags([TAG]).timezone("browser")
    made = made.time(f"now-{days}d" if days > 1 else "now-24h", "now").refresh("1m").readonly()
    made = made.tooltip(model.DashboardCursorSync.CROSSHAIR)
    made = made.variables([dashboard.DatasourceVariable("datasource").label("Database").type("influxdb")])
    made = made.with_variable(choice("site", "Site", SITE)).with_variable(choice("model", "Model", MODEL))
    if device:
        made = made.with_variable(choice("device", "Device", DEVICE, device == "several"))
    link = dashboard.DashboardLink("Tegu").type(model.DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True)
    made = made.link(link.include_vars(True).keep_time(True).icon("external link").tooltip("The other dashboards"))
    shown = {"rollback", "restart", *marks}
    all_marks = [Mark(each, kind, colour, kind in shown) for kind, (each, colour) in MARKS.items()]
    made = made.annotations(all_marks)  # type: ignore[arg-type]  # each builds itself
    for place, panel in enumerate(panels, 1):
        built = panel.build()
        built.id_val = place
        made = made.with_panel(panel)
    return made.build()
