"""The OpenAPI document as one plain page that loads nothing from anywhere. Pure."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

STYLE: Final = """
:root{color-scheme:light dark;--line:color-mix(in srgb,currentColor 18%,transparent)}
body{font:1rem/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}
details{border-top:1px solid var(--line);padding:.5rem 0}
summary{cursor:pointer;display:flex;gap:.75rem;flex-wrap:wrap;align-items:baseline}
code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{overflow:auto;padding:.75rem;border:1px solid var(--line);border-radius:.4rem}
.method{display:inline-block;min-width:3.5rem;font-weight:700}
.who{margin-left:auto;opacity:.75;font-size:.85em}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;
padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--line)}
"""


def page(document: Mapping[str, Any]) -> str:
    """The whole page."""
    info = document["info"]
    return "".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{escape(info['title'])}: HTTP</title><style>{STYLE}</style></head><body>",
            f"<h1>{escape(info['title'])} over HTTP</h1><p>{_text(info['description'])}</p>",
            '<p><a href="/v1/openapi.json">The same as an OpenAPI document</a></p>',
            _rights(document.get("x-flyball-rights", {})),
            *_operations(document),
            "</body></html>",
        ]
    )


def _rights(rights: Mapping[str, list[str]]) -> str:
    rows = "".join(
        f"<tr><td>{escape(role)}</td><td>{escape(', '.join(acts))}</td></tr>"
        for role, acts in rights.items()
    )
    return f"<h2>Who may do what</h2><table><tr><th>role</th><th>may</th></tr>{rows}</table>"


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    tags: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["other"])[0]
            tags.setdefault(tag, []).append(_operation(document, path, method, operation))
    for tag, operations in tags.items():
        yield f"<h2>{escape(tag)}</h2>{''.join(operations)}"


def _operation(
    document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]
) -> str:
    roles = operation.get("x-flyball-roles")
    who = ", ".join(roles) if roles else "anybody"
    return (
        f'<details><summary><span class="method">{escape(method.upper())}</span>'
        f"<code>{escape(path)}</code><span>{_first(operation)}</span>"
        f'<span class="who">{escape(who)}</span></summary>'
        f"<p>{_text(operation.get('description', ''))}</p>"
        f"{_parameters(operation.get('parameters', []))}{_body(document, operation)}"
        f"{_answers(document, operation)}</details>"
    )


def _first(operation: Mapping[str, Any]) -> str:
    lines = str(operation.get("description") or operation.get("summary") or "").splitlines()
    return _text(lines[0] if lines else "")


def _parameters(parameters: list[dict[str, Any]]) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(p['in'])}"
        f"{', required' if p.get('required') else ''}</td>"
        f"<td>{_text(p.get('description', ''))}</td></tr>"
        for p in parameters
    )
    return f"<table><tr><th>parameter</th><th>in</th><th>meaning</th></tr>{rows}</table>"


def _body(document: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    return "".join(
        f"<p>Body, <code>{escape(kind)}</code>:</p>{_shown(document, media)}"
        for kind, media in content.items()
    )


def _answers(document: Mapping[str, Any], operation: Mapping[str, Any]) -> str:
    found = [
        f"<p>Answer {escape(status)}:</p>{_shown(document, media)}"
        for status, answer in operation.get("responses", {}).items()
        if status.startswith("2")
        for media in answer.get("content", {}).values()
    ]
    return "".join(found)


def _shown(document: Mapping[str, Any], media: Mapping[str, Any]) -> str:
    if "example" in media:
        return f"<pre>{escape(json.dumps(media['example'], indent=2))}</pre>"
    outline = _outline(document, media.get("schema", {}), 4)
    return f"<pre>{escape(json.dumps(outline, indent=2, ensure_ascii=False))}</pre>"


def _outline(document: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> Any:
    """A schema as the object that it describes: names, and words for values."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return _outline(document, document["components"]["schemas"][name], depth)
    if options := [o for o in schema.get("anyOf", []) if o.get("type") != "null"]:
        found = _outline(document, options[0], depth)
        return f"{found} or null" if isinstance(found, str) else found
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return [_outline(document, schema.get("items", {}), depth)]
    if "properties" in schema and depth:
        return {
            name: _outline(document, field, depth - 1)
            for name, field in schema["properties"].items()
        }
    return str(schema.get("format") or schema.get("const") or schema.get("type") or "any")


def _text(text: str) -> str:
    """Escaped, with `code` as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))
