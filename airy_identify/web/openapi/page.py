"""The document as a page for people: plain HTML with its style inside, which loads nothing from anywhere."""

import base64
import hashlib
import json
import re
from html import escape
from typing import Any, TypeAlias

_STYLE = """
:root { color-scheme: light dark; --line: #d5d9de; --soft: #f5f6f8; --quiet: #5b6470; --link: #0b5cad; --good: #1a7f4b; }
@media (prefers-color-scheme: dark) {
  :root { --line: #363c45; --soft: #1c2027; --quiet: #9aa4b1; --link: #7db8ff; --good: #5fc58f; }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { font: 16px/1.55 system-ui, sans-serif; margin: 0; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .875em; }
h1, h2, h3, h4 { line-height: 1.25; }
h1 small, .quiet, th { color: var(--quiet); font-weight: normal; }
h2 { margin: 0; font-size: 1.35rem; }
h2 code { font-size: 1em; overflow-wrap: anywhere; }
h4 { margin: 1.25rem 0 .25rem; }
.method { color: var(--good); font-weight: 700; }
.summary { font-size: 1.1rem; margin: .25rem 0 1rem; }
nav { padding: 1.5rem; max-height: 45vh; overflow-y: auto; border-bottom: 1px solid var(--line); }
nav h3 { font-size: .8rem; margin: 1.25rem 0 .25rem; text-transform: uppercase; letter-spacing: .05em; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav li { padding: .15rem 0; overflow-wrap: anywhere; }
main { padding: 1.5rem; max-width: 62rem; }
section { border-top: 1px solid var(--line); margin-top: 2.5rem; padding-top: 1.5rem; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: .75rem 1rem; overflow-x: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .4rem .75rem .4rem 0; text-align: left; vertical-align: top; }
td code { overflow-wrap: anywhere; }
td:first-child code { white-space: nowrap; }
@media (min-width: 64rem) {
  body { display: grid; grid-template-columns: 19rem minmax(0, 1fr); }
  nav { position: sticky; top: 0; height: 100vh; max-height: none; border: 0; border-right: 1px solid var(--line); }
  main { padding: 1.5rem 3rem 6rem; }
}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"
"""Nothing may be loaded, nothing may run."""

_LIMITS = {
    "minLength": "at least {} character(s)",
    "maxLength": "at most {} characters",
    "maxItems": "at most {}",
    "maxProperties": "at most {}",
    "pattern": "<code>{}</code>",
    "format": "{}",
    "default": "default <code>{}</code>",
}
"""What a type says besides its name, in words."""

Route: TypeAlias = tuple[str, str, dict[str, Any]]
"""A path, a method, and what the document has about them."""


def page(document: dict[str, Any]) -> str:
    """Return the page of an OpenAPI document as `document.openapi` makes it."""
    info = document["info"]
    routes = [(path, method, item) for path, methods in document["paths"].items() for method, item in methods.items()]
    asked = [route for route in routes if route[2].get("security") != []]
    operated = [route for route in routes if route[2].get("security") == []]
    records = document["components"]["schemas"]
    sections = "".join(_route(path, method, item, document) for path, method, item in (*asked, *operated))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f'<nav><a href="#top"><strong>{escape(info["title"])}</strong></a>{_contents("Commands", asked)}'
        f"{_contents('Operation', operated)}<h3>Records</h3><ul>"
        + "".join(f'<li><a href="#{name}">{name}</a></li>' for name in sorted(records))
        + f'</ul></nav><main><h1 id="top">{escape(info["title"])} <small>{escape(info["version"])}</small></h1>'
        f'<p class="summary">{escape(info["summary"])}</p><p>{_text(info["description"])}</p>'
        f"{_authentication(document)}"
        '<p>The same for programs: <a href="/openapi.json"><code>/openapi.json</code></a> (OpenAPI 3.1).</p>'
        f"{sections}<section><h2>Records</h2>"
        + "".join(_record(name, schema) for name, schema in sorted(records.items()))
        + "</section></main></body></html>"
    )


def _contents(title: str, routes: list[Route]) -> str:
    lines = (f'<li><a href="#{_anchor(path)}"><code>{path}</code></a></li>' for path, _, _ in routes)
    return f"<h3>{title}</h3><ul>{''.join(lines)}</ul>"


def _authentication(document: dict[str, Any]) -> str:
    schemes = document["components"]["securitySchemes"].values()
    told = "".join(f"<li>{_text(scheme['description'])}</li>" for scheme in schemes)
    return f"<h4>Authentication</h4><p>Header <code>Authorization: Bearer …</code>, one of</p><ul>{told}</ul>"


def _route(path: str, method: str, item: dict[str, Any], document: dict[str, Any]) -> str:
    heading = f'<h2><code><span class="method">{method.upper()}</span> {path}</code></h2>'
    parts = [f'<section id="{_anchor(path)}">{heading}']
    parts.append(f'<p class="summary">{escape(item["summary"])}{" (deprecated)" if item.get("deprecated") else ""}</p>')
    parts.append(f"<p>{_text(item.get('description', ''))}</p>")
    if item.get("security") == []:
        parts.append('<p class="quiet">Needs no token.</p>')
    parts += [
        f"<p>Header <code>{parameter['name']}</code>: {_text(parameter['description'])}</p>"
        for parameter in item.get("parameters", [])
    ]
    if "requestBody" in item:
        content = item["requestBody"]["content"]["application/json"]
        name = content["schema"]["$ref"].rsplit("/", 1)[1]
        parts.append(f"<h3>Request</h3>{_fields(document['components']['schemas'][name])}")
        for title, example in content["examples"].items():
            parts.append(f"<h4>Example: {escape(title)}</h4><pre>{escape(_curl(path, example['value']))}</pre>")
    parts.append('<h3>Answers</h3><div class="wide"><table><tr><th>status</th><th>body</th><th>what it says</th></tr>')
    parts += [_answer(status, answer) for status, answer in item["responses"].items()]
    parts.append("</table></div>")
    good = next(iter(item["responses"]["200"]["content"].values()))
    if "example" in good:
        parts.append(f"<h4>Example of an answer</h4><pre>{escape(_pretty(good['example']))}</pre>")
    return "".join([*parts, "</section>"])


def _curl(path: str, body: dict[str, Any]) -> str:
    """Return a request as it is sent from a shell: no example has a single quote in it."""
    return (
        f'curl "$BRIDGE{path}" \\\n  -H "Authorization: Bearer $SYSTEM_TOKEN" \\\n'
        f"  -H 'Content-Type: application/json' \\\n  -d '{_pretty(body)}'"
    )


def _pretty(value: Any) -> str:  # noqa: ANN401 - any JSON
    return json.dumps(value, indent=2, ensure_ascii=False)


def _answer(status: str, answer: dict[str, Any]) -> str:
    media_type, content = next(iter(answer["content"].items()))
    schema = content["schema"]
    codes = [
        code for part in schema.get("allOf", []) for code in part.get("properties", {}).get("code", {}).get("enum", [])
    ]
    body = ", ".join(f"<code>{code}</code>" for code in codes) or _link(schema) or escape(media_type)
    headers = "".join(
        f" Header <code>{name}</code>: {_text(header['description'])}"
        for name, header in answer.get("headers", {}).items()
    )
    return f"<tr><td>{status}</td><td>{body}</td><td>{_text(answer['description'])}{headers}</td></tr>"


def _record(name: str, schema: dict[str, Any]) -> str:
    return f'<h3 id="{name}">{name}</h3><p>{_text(schema["description"])}</p>{_fields(schema)}'


def _fields(schema: dict[str, Any]) -> str:
    rows = []
    for name, field in schema["properties"].items():
        optional = "" if name in schema["required"] else '<br><span class="quiet">optional</span>'
        told = f"<td>{_type(field)}</td><td>{_text(field['description'])}</td>"
        rows.append(f"<tr><td><code>{name}</code>{optional}</td>{told}</tr>")
    head = "<tr><th>field</th><th>type</th><th>what it is</th></tr>"
    return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


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
    limits = [words.format(_plain(schema[name])) for name, words in _LIMITS.items() if name in schema]
    return told + (f'<br><span class="quiet">{", ".join(limits)}</span>' if limits else "")


def _plain(value: Any) -> str:  # noqa: ANN401 - any JSON
    return escape(value if isinstance(value, str) else json.dumps(value))


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
