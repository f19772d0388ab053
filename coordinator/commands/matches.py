"""Which device fits which model, by the named questions, and what keeps the others out. Values for `--json`, lines for people.

Whether something fits is said by the graph alone (coordinator/queries); here it is only put together for reading.
"""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, cast

from ..matching import match
from ..registry import Registry
from ..semantics.models import metric_kind
from . import answers
from .access import Access
from .answers import short_name
from .names import CLASSES, resolve
from .tables import many, table

Json = dict[str, Any]
USUAL_METRIC = "top-1-accuracy"
MOST_PAIRS = 100_000  # that are told one by one
EXPLAINED = 200  # pairs of which it is asked why they do not fit: each is a question of its own


def iri_of(to: Access, parameter: str, text: str) -> str:
    """The IRI that a parameter of a question means: by its name a device, a model, a metric, or anything."""
    if parameter == "metric" and not answers.IRI.fullmatch(text):
        return metric_kind(text).value
    kinds = [parameter] if parameter in CLASSES else list(CLASSES)
    return resolve(to.select, text, kinds)


def devices(to: Access, model: str, train: bool, why: bool) -> Json:
    """The devices that a model fits: {model, train, needs, fits: [...], of, others}; others: why not, if it is asked."""
    known, models = _devices(to), _models(to)
    fits = {row["device"] for row in to.ask(f"devices_that_can_{_verb(train)}", model=model)}
    others = ((device, model) for device in known if why and device not in fits)
    return {
        "model": model,
        "train": train,
        "needs": models.get(model, {}),
        "fits": [known.get(device, {"device": device}) for device in sorted(fits)],
        "of": len(known),
        "others": _explained(to, others, train, known | models),
    }


def models(to: Access, device: str, train: bool, metric: str, why: bool) -> Json:
    """The models that fit a device, best first: {device, name, train, metric, fits: [...], of, others}."""
    known, devices = _models(to), _devices(to)
    kind = iri_of(to, "metric", metric or USUAL_METRIC)
    found = to.ask(f"models_that_{_verb(train)}_on", device=device, metric=kind)
    fits = {row["model"]: row.get("value") for row in found}
    others = ((device, model) for model in known if why and model not in fits)
    return {
        "device": device,
        "name": _title(devices.get(device, {}), device),
        "train": train,
        "metric": metric or USUAL_METRIC,
        "fits": [known.get(model, {"model": model}) | {"value": value} for model, value in fits.items()],
        "of": len(known),
        "others": _explained(to, others, train, known | devices),
    }


def everything(to: Access, train: bool, why: bool) -> Json:
    """All pairs: {train, devices: {IRI: name}, models: {IRI: name}, counts: {model: n}, pairs: [[model, device]], of, others}.

    Without `pairs` where these would be more than MOST_PAIRS.
    """
    devices, models = _devices(to), _models(to)
    found = match(cast(Registry, to))  # of which it only asks questions
    fits = found.trains if train else found.runs
    counts = dict.fromkeys(models, 0) | dict(zip(found.models, map(int, fits.sum(1)), strict=True))
    few = sum(counts.values()) <= MOST_PAIRS
    pairs = set(found.pairs(train)) if few else set()
    others = ((device, model) for model in models for device in devices if (model, device) not in pairs)
    return {
        "train": train,
        "devices": {iri: _title(row, iri) for iri, row in devices.items()},
        "models": {iri: _title(row, iri) for iri, row in models.items()},
        "counts": counts,
        **({"pairs": sorted(map(list, pairs))} if few else {}),
        "of": len(devices) * len(models),
        "others": _explained(to, others if why and few else (), train, devices | models),
    }


def _verb(train: bool) -> str:
    return "train" if train else "run"


def _devices(to: Access) -> dict[str, Json]:
    return {row["device"]: _listed(row) for row in sorted(to.ask("devices"), key=lambda row: str(row["device"]))}


def _models(to: Access) -> dict[str, Json]:
    return {row["model"]: _listed(row) for row in to.ask("models", metric=iri_of(to, "metric", USUAL_METRIC))}


def _title(row: Mapping[str, Any], iri: str) -> str:
    """Its short name; of what somebody else named by an address, its title."""
    return str(row.get("name") or short_name(iri)) if iri.startswith("http") else short_name(iri)


def _listed(row: Mapping[str, Any]) -> Json:
    return {**row, "sensors": sorted((row["sensors"] or "").split())}


def _explained(to: Access, pairs: Iterable[tuple[str, str]], train: bool, known: Mapping[str, Json]) -> list[Json]:
    """[{device, model, device_name, model_name, why: [sentences]}], of the first pairs only."""
    told = []
    for device, model in islice(pairs, EXPLAINED):
        why = answers.reasons(to.ask("why_not", device=device, model=model), train)
        names = {"device_name": _title(known[device], device), "model_name": _title(known.get(model, {}), model)}
        told.append({"device": device, "model": model, **names, "why": why})
    return told


# --- for people ---


def lines(found: Json, columns: int | None) -> list[str]:
    """Any of the three."""
    if "counts" in found:
        made = answers.matrix(found["models"], found["devices"], found["counts"], found.get("pairs"), columns)
        left = found["of"] - sum(found["counts"].values())
    elif "model" in found:
        names: tuple[str, ...] = ("device", "name", "state", "room", "ramBytes", "flashBytes", "sensors")
        made = answers.rows(found["fits"], columns, names) if found["fits"] else []
        made += ["", f"{_count(found, 'device')} can {_verb(found['train'])} {_title(found['needs'], found['model'])}."]
        made.append(f"It {answers.needs(found['needs'])}.")
        left = found["of"] - len(found["fits"])
    else:
        need = "needsTrainingRamBytes" if found["train"] else "needsRamBytes"
        fits = [row | {found["metric"]: row["value"]} for row in found["fits"]]
        names = ("model", "name", found["metric"], need, "needsFlashBytes", "sensors")
        made = answers.rows(fits, columns, names) if fits else []
        made += ["", f"{found['name']} can {_verb(found['train'])} {_count(found, 'model')}."]
        left = found["of"] - len(found["fits"])
    return [*made, *_others(found, left, columns)]


def _count(found: Json, word: str) -> str:
    return f"{len(found['fits']):,} of {many(found['of'], word)}"


def _others(found: Json, left: int, columns: int | None) -> list[str]:
    if not found["others"]:
        return []
    rows = [(one["device_name"], one["model_name"], "; ".join(one["why"])) for one in found["others"]]
    rest = left - len(rows)
    more = ["", f"and {rest:,} more pairs; name one by --model or --device"] if rest > 0 else []
    return ["", *table(("device", "model", "does not fit because"), rows, columns), *more]
