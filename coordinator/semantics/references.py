"""What one place of a Thing Description says of another, which a JSON Schema cannot check (TD 1.1, sections 5.3 and 9.4).

Names of security schemes and of schemas are defined; a body's security parameter is a JSON pointer (in TD 1.1; TD 1.0 did not
say so); a variable of a URI is either a parameter or a secret; a thing is an instance of one Thing Model at most.
"""

from collections.abc import Iterator
from typing import Any

from .faults import Fault, dotted, shown

Path = tuple[str | int, ...]
TD_1_1 = "https://www.w3.org/2022/wot/td/v1.1"
AFFORDANCES = ("properties", "actions", "events")


def broken(document: dict[str, Any]) -> Iterator[Fault]:
    """The faults of a document that the JSON Schema accepts."""
    schemes, schemas = document["securityDefinitions"], document.get("schemaDefinitions", {})
    yield from _undefined(schemes, "securityDefinitions", document["security"], ("security",))
    for name, scheme in schemes.items():
        for combined in ("oneOf", "allOf") if scheme["scheme"] == "combo" else ():
            path: Path = ("securityDefinitions", name, combined)
            yield from _undefined(schemes, "securityDefinitions", scheme.get(combined, []), path)
    for path, form in _forms(document):
        yield from _undefined(schemes, "securityDefinitions", form.get("security", []), (*path, "security"))
        for at, response in enumerate(form.get("additionalResponses", ())):
            wanted = [response["schema"]] if "schema" in response else []
            yield from _undefined(schemas, "schemaDefinitions", wanted, (*path, "additionalResponses", at, "schema"))
    yield from _parameters(document)
    models = [at for at, link in enumerate(document.get("links", ())) if link.get("rel") == "type"]
    for at in models[1:]:
        yield Fault(f"links.{at}.rel", "is the second of relation type: a thing is of one Thing Model at most")


def _undefined(defined: dict[str, Any], where: str, names: str | list[str], path: Path) -> Iterator[Fault]:
    for at, name in enumerate([names] if isinstance(names, str) else names):
        if name not in defined:
            place = path if isinstance(names, str) or path[-1] == "schema" else (*path, at)
            yield Fault(dotted(place), f"must be a name defined in {where}, not {shown(name)}")


def _forms(document: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for at, form in enumerate(document.get("forms", ())):
        yield ("forms", at), form
    for kind in AFFORDANCES:
        for name, affordance in document.get(kind, {}).items():
            for at, form in enumerate(affordance["forms"]):
                yield (kind, name, "forms", at), form


def _parameters(document: dict[str, Any]) -> Iterator[Fault]:
    """Where security schemes say that their parameter is."""
    context = document["@context"]
    pointers = TD_1_1 in (context if isinstance(context, list) else [context])
    variables = set(document.get("uriVariables", {}))
    for kind in AFFORDANCES:
        for affordance in document.get(kind, {}).values():
            variables.update(affordance.get("uriVariables", {}))
    for name, scheme in document["securityDefinitions"].items():
        path, said = f"securityDefinitions.{name}.name", scheme.get("name")
        if not isinstance(said, str):
            continue
        if scheme.get("in") == "body" and pointers and said and not said.startswith("/"):
            yield Fault(path, f"must be a JSON pointer, as /key, not {shown(said)}")
        if scheme.get("in") == "uri" and said in variables:
            yield Fault(path, "is a name in uriVariables too")
