"""The OpenAPI document as one HTML page: no script, no picture, nothing from elsewhere."""

from __future__ import annotations

import json
from html import escape
from typing import Any, Final

STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem;
  padding: 0 1rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid #8886; border-radius: 4px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.75rem 0.25rem 0;
  border-bottom: 1px solid #8884; }
h2 { margin-top: 2.5rem; }
summary { cursor: pointer; }
"""


def page(document: dict[str, Any]) -> str:
    """The page of ``document``. Every text is escaped."""
    info = document["info"]
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(info['title'])} API</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1>",
        f"<p>{escape(info.get('description', ''))}</p>",
        "<p>The same as text: <a href='openapi.json'>openapi.json</a>.</p>",
    ]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(_operation(method, path, operation))
    parts.append("<h2>Schemas</h2>")
    for name, schema in document["components"]["schemas"].items():
        parts.append(_schema(name, schema))
    parts.append("</body></html>")
    return "\n".join(parts)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(status)}</code></td><td>{escape(answer['description'])}</td>"
        f"<td>{_named(answer)}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    scopes = [name for one in operation.get("security", []) for name in one.get("key", [])]
    access = f"Scope <code>{escape(scopes[0])}</code>." if scopes else "No key needed."
    body = ""
    if "requestBody" in operation:
        body = f"<p>Body: {_named(operation['requestBody'])}</p>"
    return (
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('summary', ''))}. "
        f"{escape(operation.get('description', ''))}</p><p>{access}</p>{body}"
        f"<table><tr><th>Status</th><th>Meaning</th><th>Content</th></tr>{rows}</table>"
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    text = json.dumps(schema, indent=2)
    return (
        f"<details id='{escape(name)}'><summary><code>{escape(name)}</code> "
        f"{escape(schema.get('description', ''))}</summary><pre>{escape(text)}</pre></details>"
    )


def _named(holder: dict[str, Any]) -> str:
    for media_type, content in holder.get("content", {}).items():
        reference = content["schema"].get("$ref", "").rpartition("/")[2]
        link = f"<a href='#{escape(reference)}'>{escape(reference)}</a> as " if reference else ""
        return f"{link}<code>{escape(media_type)}</code>"
    return ""
