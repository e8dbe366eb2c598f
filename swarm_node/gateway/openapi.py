"""``/openapi.json`` and ``/docs``: what can be asked, from the routes and the models of their requests."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute

from swarm_node.gateway.operations import Operation

STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
:root { color-scheme: light dark }
code, th { font-family: ui-monospace, monospace } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .25rem 1rem .25rem 0; border-top: 1px solid #8884 }
"""

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def description(operations: Iterable[Operation]) -> dict[str, Any]:
    """In the form of OpenAPI 3.1."""
    listed = list(operations)
    bodies = list(dict.fromkeys(operation.body for operation in listed if operation.body is not None))
    references, definitions = models_json_schema(
        [(body, "validation") for body in bodies], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in listed:
        told: dict[str, Any] = {"summary": operation.summary, "responses": {"200": {"description": "Done."}}}
        if operation.body is not None:
            schema = references[operation.body, "validation"]
            told["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        names = list(operation.param_convertors)
        if names:
            told["parameters"] = [
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
            ]
        paths.setdefault(operation.path_format, {})[operation.method.lower()] = told
    return {
        "openapi": "3.1.0",
        "info": {"title": "swarm-node", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}, {}],
    }


def openapi_routes(operations: Sequence[BaseRoute]) -> list[BaseRoute]:
    """Routes that describe ``operations``; open to all."""
    known = [route for route in operations if isinstance(route, Operation)]

    @cache
    def told() -> dict[str, Any]:
        return description(known)

    async def as_json(request: Request) -> Response:
        return JSONResponse(told())

    async def as_page(request: Request) -> Response:
        return HTMLResponse(_page(told()), headers={"content-security-policy": POLICY})

    return [
        Operation("GET", "/openapi.json", as_json, summary="This description, for programs."),
        Operation("GET", "/docs", as_page, summary="This description, for people."),
    ]


def _page(told: dict[str, Any]) -> str:
    parts = [
        f"<h2><code>{method.upper()} {html.escape(path)}</code></h2><p>{html.escape(operation['summary'])}</p>"
        + _fields(operation, told["components"]["schemas"])
        for path, methods in told["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>What can be asked here</title>'
        f"<style>{STYLE}</style><main><h1>What can be asked here</h1>"
        '<p>For programs: <a href="/openapi.json">openapi.json</a>.</p>' + "".join(parts) + "</main></html>"
    )


def _fields(operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    if "requestBody" not in operation:
        return ""
    reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = schemas[reference.rpartition("/")[2]]
    rows = [
        f"<tr><th scope=row>{html.escape(name)}{' *' if name in schema.get('required', ()) else ''}"
        f"<td>{html.escape(_kind(field))}"
        for name, field in schema.get("properties", {}).items()
    ]
    return f"<table>{''.join(rows)}</table>"


def _kind(field: dict[str, Any]) -> str:
    """A field's type and bounds in a few words."""
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_kind(one) for one in field["anyOf"] if one.get("type") != "null"))
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "enum" in field:
        return ", ".join(map(str, field["enum"]))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}))}"
    words = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {field[word]}" for word, sign in words.items() if word in field]
    return " ".join([str(field.get("type", field.get("const", "anything"))), *bounds])
