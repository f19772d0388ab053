"""The OpenAPI page at /docs, with all it needs: it is to work in a building that has no internet."""

from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from .problems import MEDIA

STATIC = "/static"
LOOK = {
    "docExpansion": "list",
    "defaultModelsExpandDepth": -1,
    "displayRequestDuration": True,
    "tryItOutEnabled": True,
    "persistAuthorization": True,
    "syntaxHighlight": {"theme": "idea"},
}

PROBLEM = {
    "type": "object",
    "title": "Problem details (RFC 9457)",
    "required": ["title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence"},
        "validationErrors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
            },
        },
    },
}


def install(app: FastAPI) -> None:
    """fastapi-offline brings Swagger UI's files."""
    folder = Path(str(files("fastapi_offline").joinpath("static")))
    app.mount(STATIC, StaticFiles(directory=folder), name="static")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=f"{app.title}: the API",
            swagger_js_url=f"{STATIC}/swagger-ui-bundle.js",
            swagger_css_url=f"{STATIC}/swagger-ui.css",
            swagger_favicon_url=f"{STATIC}/favicon.png",
            swagger_ui_parameters=LOOK,
        )

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_problems(
                get_openapi(
                    title=app.title,
                    version=app.version,
                    summary=app.summary,
                    description=app.description,
                    tags=app.openapi_tags,
                    routes=app.routes,
                )
            )
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _with_problems(described: dict[str, Any]) -> dict[str, Any]:
    """Errors as they are sent here; what the framework would send never is."""
    for operations in described["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            for code, response in operation["responses"].items():
                if code >= "400":
                    response["content"] = {MEDIA: _problem(int(code), response["description"])}
    schemas = described["components"].setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = PROBLEM
    return described


def _problem(status: int, detail: str) -> dict[str, Any]:
    example: dict[str, Any] = {"title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    if "validationErrors" in detail:
        example["detail"] = "The Thing Description is not valid"
        example["validationErrors"] = [{"field": "title", "description": "is missing"}]
    return {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
