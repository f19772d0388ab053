"""`tegu dashboards`: builds the Grafana dashboards and alert rules, lists them, puts them into a Grafana."""

import argparse
import sys
from pathlib import Path

from . import alerts, queries

FOLDER = Path(__file__).parent
INSTALL = {
    "push": "install it with: pip install 'tegu[dashboards]' (in a checkout: pip install -e '.[dashboards]')",
    "build": "building is for a checkout: pip install 'grafana-foundation-sdk==1769699379!11.6.0'",
}


def run(arguments: list[str]) -> int:
    """The command. Returns its exit status: 0 done, 1 failed, 2 called wrongly."""
    told = _parser().parse_args(arguments)
    try:
        if told.what == "list":
            _list()
        elif told.what == "build":
            _build()
        else:
            _push(told)
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"tegu dashboards {told.what}: needs {error.name}, which is not installed; {INSTALL[told.what]}\n"
        )
        return 1
    except (OSError, ValueError) as error:
        sys.stderr.write(f"tegu dashboards {told.what}: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("tegu dashboards", description=__doc__)
    parts = parser.add_subparsers(dest="what", required=True, metavar="list | build | push")
    parts.add_parser("list", help="the dashboards, the alert rules, and where their files are")
    parts.add_parser("build", help="write the files anew from the code beside them")
    push = parts.add_parser("push", help="put them into a running Grafana; again to bring them up to date")
    push.add_argument("url", help="of Grafana, like http://127.0.0.1:3000")
    push.add_argument("--token-file", type=Path, required=True, help="file with the token of a service account")
    push.add_argument(
        "--datasource", default="", metavar="UID", help="the InfluxDB datasource to ask; else the only one"
    )
    push.add_argument(
        "--influxdb", metavar="ADDRESS", help="make or change the datasource tegu: InfluxDB as Grafana sees it"
    )
    push.add_argument("--bucket", default="tegu", help="bucket of InfluxDB 2, mapped as a database; or database of 1.x")
    push.add_argument("--influxdb-token-file", type=Path, help="file with InfluxDB's token, or user:password of 1.x")
    push.add_argument("--no-alerts", action="store_true", help="only folder, datasource and dashboards")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _list() -> None:
    for name in queries.names():
        dashboard = queries.read(name)
        count = sum(1 for _ in queries.listed(dashboard))
        _say(f"{dashboard['uid']:20} {dashboard['title']:30} {len(dashboard['panels'])} panels, {count} queries")
    for rule in alerts.RULES:
        _say(f"{'tegu-' + rule.name:20} {rule.title:30} alert rule")
    _say(f"dashboards:   {queries.FOLDER}\nprovisioning: {FOLDER / 'provisioning'}")


def _build() -> None:
    from . import build

    for path in build.write():
        _say(str(path))


def _push(told: argparse.Namespace) -> None:
    from .push import Database, Grafana, GrafanaError

    database = None
    if told.influxdb:
        token = _secret(told.influxdb_token_file) if told.influxdb_token_file else ""
        database = Database(told.influxdb, told.bucket, token)
    try:
        Grafana(told.url, _secret(told.token_file)).push(database, told.datasource, not told.no_alerts, _say)
    except GrafanaError as error:
        raise ValueError(str(error)) from error


def _secret(path: Path) -> str:
    text = path.read_text(encoding="utf-8").strip()
    if not text or any(letter.isspace() for letter in text):
        raise ValueError(f"{path} does not hold one token")
    return text
