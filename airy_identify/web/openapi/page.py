"""The document as a page for people: plain HTML with its style inside, which loads nothing from anywhere."""

import base64
import hashlib
import json
import re
from html import escape
from typing import Any

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { background: #f4f4f4; padding: .75rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid #ccc; padding: .3rem .6rem; text-align: left; vertical-align: top; }
h2 { border-top: 2px solid #333; padding-top: 1rem; }
@media (prefers-color-scheme: dark) { body { background: #111; color: #eee; } pre { background: #222; }
a { color: #8cf; } }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"
"""Nothing may be loaded, nothing may run."""


def page(document: dict[str, Any]) -> str:
    """Return the page of an OpenAPI document as `document.openapi` makes it."""
    info = document["info"]
    routes = [(path, method, item) for path, methods in document["paths"].items() for method, item in methods.items()]
    contents = "".join(
        f'<li><a href="#{_anchor(path)}"><code>{path}</code></a> {escape(item["summary"])}</li>'
        for path, _, item in routes
    )
    sections = "".join(_route(path, method, item, document) for path, method, item in routes)
    records = "".join(_record(name, schema) for name, schema in sorted(document["components"]["schemas"].items()))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['summary'])}</p>"
        f"<p>{_text(info['description'])}</p>"
        '<p>The same for programs: <a href="/openapi.json"><code>/openapi.json</code></a> (OpenAPI 3.1).</p>'
        f"<nav><ul>{contents}</ul></nav><main>{sections}<h2>Records</h2>{records}</main></body></html>"
    )


def _route(path: str, method: str, item: dict[str, Any], document: dict[str, Any]) -> str:
    parts = [f'<section id="{_anchor(path)}"><h2><code>{method.upper()} {path}</code></h2>']
    parts.append(
        f"<p><strong>{escape(item['summary'])}</strong>{' (deprecated)' if item.get('deprecated') else ''}</p>"
    )
    parts.append(f"<p>{_text(item.get('description', ''))}</p>")
    if item.get("security") == []:
        parts.append("<p>Needs no token.</p>")
    parts += [
        f"<p>Header <code>{parameter['name']}</code>: {_text(parameter['description'])}</p>"
        for parameter in item.get("parameters", [])
    ]
    if "requestBody" in item:
        content = item["requestBody"]["content"]["application/json"]
        name = content["schema"]["$ref"].rsplit("/", 1)[1]
        parts.append(f"<h3>Request</h3>{_fields(document['components']['schemas'][name])}")
        for title, example in content["examples"].items():
            body = json.dumps(example["value"], indent=2, ensure_ascii=False)
            parts.append(f"<h4>Example: {escape(title)}</h4><pre>{escape(body)}</pre>")
    parts.append("<h3>Answers</h3><table><tr><th>status</th><th>body</th><th></th></tr>")
    parts += [_answer(status, answer) for status, answer in item["responses"].items()]
    return "".join([*parts, "</table></section>"])


def _answer(status: str, answer: dict[str, Any]) -> str:
    media_type, content = next(iter(answer["content"].items()))
    schema = content["schema"]
    codes = [
        code for part in schema.get("allOf", []) for code in part.get("properties", {}).get("code", {}).get("enum", [])
    ]
    body = ", ".join(f"<code>{code}</code>" for code in codes) or _link(schema) or escape(media_type)
    headers = "".join(f" Header <code>{name}</code>." for name in answer.get("headers", {}))
    return f"<tr><td>{status}</td><td>{body}</td><td>{_text(answer['description'])}{headers}</td></tr>"


def _record(name: str, schema: dict[str, Any]) -> str:
    return f'<section id="{name}"><h3>{name}</h3><p>{_text(schema["description"])}</p>{_fields(schema)}</section>'


def _fields(schema: dict[str, Any]) -> str:
    rows = []
    for name, field in schema["properties"].items():
        required = "required" if name in schema["required"] else ""
        told = f"<td>{_type(field)}</td><td>{required}</td><td>{_text(field['description'])}</td>"
        rows.append(f"<tr><td><code>{name}</code></td>{told}</tr>")
    return f"<table><tr><th>field</th><th>type</th><th></th><th></th></tr>{''.join(rows)}</table>"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _link(schema)
    if "anyOf" in schema:
        return " or ".join(_type(branch) for branch in schema["anyOf"])
    kinds = schema.get("type", "any JSON")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    told = " or ".join(kinds)
    if "items" in schema:
        told += f" of {_type(schema['items'])}"
    if "enum" in schema:
        told = " or ".join(f"<code>{json.dumps(value)}</code>" for value in schema["enum"])
    limits = [f"{name} {schema[name]}" for name in ("minLength", "maxLength", "maxItems", "format") if name in schema]
    return told + (f" ({', '.join(limits)})" if limits else "")


def _link(schema: dict[str, Any]) -> str:
    if "$ref" not in schema:
        return ""
    name = schema["$ref"].rsplit("/", 1)[1]
    return f'<a href="#{name}">{name}</a>'


def _anchor(path: str) -> str:
    return path.strip("/").replace(".", "-")


def _text(text: str) -> str:
    """Return the text as HTML, with its `code` and **strong** words."""
    text = re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))
    return re.sub(r"\*\*([^*]*)\*\*", r"<strong>\1</strong>", text)
