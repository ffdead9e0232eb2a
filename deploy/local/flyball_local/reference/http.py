"""docs/reference/http.md: every route of the gateway, from its OpenAPI document. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from flyball_local.reference.events import event_links
from flyball_local.reference.markdown import (
    anchor,
    code,
    fields,
    first_paragraph,
    listed,
    page,
    table,
    type_in_words,
)

_INTRO: Final = (
    "What the gateway serves where `FLYBALL_GATEWAY_HTTP_PORT` is set; `flyball up` sets it and prints",
    "the address. A program sends `Authorization: Bearer TOKEN` (`flyball users token`); a browser has a",
    "session (`flyball users invite`) and sends the header `X-Flyball-CSRF` with whatever changes",
    "something. The running gateway says the same on `/docs` and, for programs, `/v1/openapi.json`.",
    "",
    "An error is one object, `{kind, message}`: a stable word, and what was found and would be valid.",
    "401 is nobody, 403 a role that may not, 404 nothing of that name, 409 a conflict, 422 input that",
    "cannot be used, 429 too many bad tokens, 503 something that is away: with `Retry-After`.",
)


class Route(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    operation: Mapping[str, Any]

    @property
    def title(self) -> str:
        """As in `GET /v1/holds`."""
        return f"{self.method.upper()} {self.path}"


def http_reference(document: Mapping[str, Any]) -> str:
    """The page."""
    routes = list(routes_of(document))
    schemas = document["components"]["schemas"]
    links = {name: f"events.md{href}" for name, href in event_links().items()}
    links |= {name: anchor(name) for name in schemas}
    lines = [
        *page("HTTP", _INTRO),
        "",
        *_overview(routes, document),
        "",
        "## Roles",
        "",
        *_roles(document),
    ]
    for route in routes:
        lines += _section(route, links)
    lines += ["", "## Parts"]
    for name, schema in sorted(schemas.items()):
        lines += ["", f"### {name}", "", first_paragraph(schema.get("description"))]
        rows = list(fields(schema, links))
        lines += ["", *table(("field", "type", "meaning"), rows)] if rows else []
    return "\n".join([*lines, ""])


def routes_of(document: Mapping[str, Any]) -> Iterator[Route]:
    """Every route, in the document's order."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield Route(method, path, operation)


def _overview(routes: list[Route], document: Mapping[str, Any]) -> list[str]:
    rows = [
        (f"[`{r.title}`]({anchor(r.title)})", _first(r), listed(_who(r, document))) for r in routes
    ]
    return table(("route", "what it does", "who may"), rows)


def _roles(document: Mapping[str, Any]) -> list[str]:
    rights = document["x-flyball-rights"]
    return table(("role", "may"), [(code(role), listed(acts)) for role, acts in rights.items()])


def _section(route: Route, links: Mapping[str, str]) -> list[str]:
    operation = route.operation
    lines = ["", f"## `{route.title}`", ""]
    lines += [" ".join(part.split()) + "\n" for part in _paragraphs(operation)]
    rows = [
        (
            code(p["name"]),
            f"{type_in_words(p['schema'], links)}, in the {p['in']}",
            p.get("description", "") or ("" if p.get("required") else "May be missing."),
        )
        for p in operation.get("parameters", ())
    ]
    if rows:
        lines += [*table(("parameter", "type", "meaning"), rows), ""]
    for kind, media in operation.get("requestBody", {}).get("content", {}).items():
        lines.append(f"Body `{kind}`: {_shape(media, links)}  ")
    lines += [f"Answer {status}: {what}  " for status, what in _answers(operation, links)]
    return lines


def _answers(operation: Mapping[str, Any], links: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for status, answer in operation["responses"].items():
        if status.endswith("XX"):
            continue
        content = answer.get("content", {})
        for kind, media in content.items():
            yield status, f"`{kind}`, {_shape(media, links)}"
        if not content:
            yield status, "no body."


def _shape(media: Mapping[str, Any], links: Mapping[str, str]) -> str:
    schema = media.get("schema", {})
    return f"{type_in_words(schema, links)}." if schema else "as the text says."


def _paragraphs(operation: Mapping[str, Any]) -> list[str]:
    return str(operation.get("description", "")).split("\n\n")


def _first(route: Route) -> str:
    return " ".join(_paragraphs(route.operation)[0].split())


def _who(route: Route, document: Mapping[str, Any]) -> list[str]:
    roles = list(route.operation.get("x-flyball-roles") or ())
    if not roles:
        return ["anybody"]
    return ["every role"] if set(roles) == set(document["x-flyball-rights"]) else roles
