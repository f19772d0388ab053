"""Examples for the OpenAPI page, made of one imagined office; tests hold that they are valid."""

from collections.abc import Sequence
from typing import Any

from ..documents.things import Json

A_THING: Json = {
    "@context": "https://www.w3.org/2022/wot/td/v1.1",
    "id": "urn:dev:ops:32473-thermostat-7",
    "title": "Thermostat in the library",
    "securityDefinitions": {"nosec_sc": {"scheme": "nosec"}},
    "security": "nosec_sc",
    "properties": {
        "temperature": {
            "type": "number",
            "unit": "Cel",
            "readOnly": True,
            "forms": [{"href": "coap://thermostat-7.example/temperature"}],
        }
    },
}
A_PATCH: Json = {"title": "Thermostat in the reading room", "description": None}
A_MODEL: Json = {
    "name": "Presence",
    "description": "Whether somebody is in the room",
    "sensors": ["co2", "temperature"],
    "metrics": {"top-1-accuracy": 92.1},
    "ram_bytes": 2048,
    "training_ram_bytes": 6144,
    "flash_bytes": 8192,
    "layers": [
        {
            "index": 1,
            "kind": "FullyConnected",
            "input_shape": [1, 4],
            "output_shape": [1, 2],
            "activation": "softmax",
            "quantisation": "float32",
            "parameters": 10,
            "multiply_accumulates": 8,
        }
    ],
    "inputs": [{"shape": [1, 4], "dtype": "float32"}],
    "outputs": [{"shape": [1, 2], "dtype": "float32"}],
}
A_QUERY = "SELECT ?device ?ram WHERE { ?device tegu:ramBytes ?ram } ORDER BY DESC(?ram) LIMIT 10"
A_GRAPH = '@prefix tegu: <urn:tegu-terms:> .\n<urn:tegu:home:room:library> a tegu:Room ; tegu:roomType "office" .\n'


def sends(media: Sequence[str], example: Any) -> dict[str, Any]:
    """For `openapi_extra`: a body that the route reads itself."""
    shape = {"type": "string" if isinstance(example, str) else "object"}
    content = {name: {"schema": shape, "example": example} for name in media}
    return {"requestBody": {"required": True, "content": content}}
