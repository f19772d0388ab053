"""Namespaces and IRIs of the graph: every IRI that Tegu makes is made here, and nowhere else.

    device      urn:tegu:{site}:{device}
    room        urn:tegu:{site}:room:{room}
    model       urn:tegu:{site}:model:{model}
    version     urn:tegu:{site}:model:{model}:{version}
    round       urn:tegu:{site}:model:{model}:round:{round_num}
    deployment  urn:tegu:{site}:deployment:{number}

Ids have no colon (tegu.topics), so no two of these can be the same. Our own terms are in `urn:tegu-terms:`, which needs no
web server that somebody would have to keep.
"""

from pyoxigraph import NamedNode

from tegu.topics import check_id

PREFIXES = {
    "tegu": "urn:tegu-terms:",
    "graph": "urn:tegu-graph:",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "owl": "http://www.w3.org/2002/07/owl#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "td": "https://www.w3.org/2019/wot/td#",
    "hctl": "https://www.w3.org/2019/wot/hypermedia#",
    "wotsec": "https://www.w3.org/2019/wot/security#",
    "jsonschema": "https://www.w3.org/2019/wot/json-schema#",
    "mqv": "http://www.example.org/mqtt-binding#",  # as the binding's draft has it
    "sosa": "http://www.w3.org/ns/sosa/",
    "ssn": "http://www.w3.org/ns/ssn/",
    "ssns": "http://www.w3.org/ns/ssn/systems/",
    "s3n": "http://w3id.org/s3n/",
    "schema": "https://schema.org/",
    "unit": "http://qudt.org/vocab/unit/",
    "om": "http://www.ontology-of-units-of-measure.org/resource/om-2/",
    "prov": "http://www.w3.org/ns/prov#",
    "dct": "http://purl.org/dc/terms/",
    "sh": "http://www.w3.org/ns/shacl#",
    "nnet": "https://w3id.org/tinyml-schema/neural-network-schema#",
    "sosax": "http://tinyml-schema.org/sosa_extend/",
    "ssnx": "http://tinyml-schema.org/ssn_extend/",
    "s3nx": "http://tinyml-schema.org/s3n_extend/",
}
LIVE = NamedNode("urn:tegu-graph:live")
LINEAGE = NamedNode("urn:tegu-graph:lineage")
DEPLOYMENTS = NamedNode("urn:tegu-graph:deployments")
VOCABULARY = NamedNode("urn:tegu-graph:vocabulary")
KINDS = {  # of sensors, by the channel of their readings; any other channel is a kind of its own
    "acceleration": "sosax:Accelerometer",
    "camera": "sosax:Camera",
    "rotation": "sosax:Gyroscope",
    "magnetic-field": "sosax:Magnetometer",
    "sound": "sosax:Microphone",
    "temperature": "sosax:Thermometer",
    "co2": "tegu:Co2Sensor",
    "humidity": "tegu:Hygrometer",
    "light": "tegu:LightSensor",
    "motion": "tegu:MotionSensor",
    "pressure": "tegu:PressureSensor",
    "sound-level": "tegu:SoundLevelSensor",
    "voc": "tegu:VocSensor",
    "pm25": "tegu:ParticleSensor",
    "valve": "tegu:ValvePosition",
    "power": "tegu:PowerMeter",
    "window": "tegu:WindowContact",
}
NOT_SENSED = frozenset(["presence"])  # channels of what a model makes of the others


def term(short: str) -> NamedNode:
    """`tegu:room` as an IRI. KeyError: no such prefix."""
    prefix, _, name = short.partition(":")
    return NamedNode(PREFIXES[prefix] + name)


def sensor_kind(channel: str) -> NamedNode:
    """The class of sensors whose readings come on a channel. ValueError: that can be no channel."""
    check_id(channel, "channel")
    return term(KINDS.get(channel, f"tegu:sensor-{channel}"))


def device(site: str, device_id: str) -> NamedNode:
    return NamedNode(f"urn:tegu:{check_id(site, 'site')}:{check_id(device_id, 'device')}")


def room(site: str, name: str) -> NamedNode:
    return NamedNode(f"urn:tegu:{check_id(site, 'site')}:room:{check_id(name, 'room')}")


def model(site: str, name: str) -> NamedNode:
    return NamedNode(f"urn:tegu:{check_id(site, 'site')}:model:{check_id(name, 'model')}")


def version(site: str, model_name: str, number: int) -> NamedNode:
    return NamedNode(f"{model(site, model_name).value}:{number:d}")


def round_(site: str, model_name: str, round_num: int) -> NamedNode:
    return NamedNode(f"{model(site, model_name).value}:round:{round_num:d}")


def deployment(site: str, number: int) -> NamedNode:
    return NamedNode(f"urn:tegu:{check_id(site, 'site')}:deployment:{number:d}")


def imported(name: str) -> NamedNode:
    """The graph of an import."""
    return NamedNode(f"urn:tegu-graph:import:{check_id(name, 'name of an import')}")


def is_device(iri: str, site: str) -> bool:
    """Whether this names a device of the site, and not a room, a model or anything else."""
    return iri.startswith(f"urn:tegu:{site}:") and iri.count(":") == 3


def short(iri: str) -> str:
    """For people: a device, room or model by its name, a version as presence:3, any other IRI with its prefix if it has one."""
    words = iri.split(":")
    if iri.startswith("urn:tegu:") and len(words) == 4:
        return words[3]
    if iri.startswith("urn:tegu:") and len(words) > 4:
        return ":".join(words[4:])
    for prefix, name in PREFIXES.items():
        if iri.startswith(name):
            return f"{prefix}:{iri[len(name) :]}"
    return iri
