"""The query strings of the Image API: which parameters of a list ask about a custom property."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

from protect.errors import MalformedRequest
from protect.glance.documents import UnexpectedDocument

MAX_PARAMETERS = 200

_RANGES = frozenset({"size", "virtual_size", "min_disk", "min_ram"})
LIST_PARAMETERS = (
    frozenset(
        {
            "limit",
            "marker",
            "member_status",
            "sort",
            "sort_key",
            "sort_dir",
            "tag",
            "visibility",
            "os_hidden",
            "protected",
            "owner",
            "name",
            "id",
            "status",
            "container_format",
            "disk_format",
            "checksum",
            "os_hash_algo",
            "os_hash_value",
            "created_at",
            "updated_at",
        }
    )
    | _RANGES
    | {f"{name}_{end}" for name in _RANGES for end in ("min", "max")}
)


def parameters(query_string: str) -> list[tuple[str, str]]:
    """Return the parameters in order; raises MalformedRequest where parsers could read them differently."""
    if ";" in query_string:
        raise MalformedRequest("the query string has a `;`; write `&` between parameters, `%3B` in a value")
    try:
        return parse_qsl(
            query_string.encode("latin-1").decode("utf-8"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except UnicodeError:
        raise MalformedRequest("the query string is not UTF-8") from None
    except ValueError:
        raise MalformedRequest(f"the query string has more than {MAX_PARAMETERS} parameters") from None


def property_filters(pairs: list[tuple[str, str]]) -> frozenset[str]:
    """Return the names that a list is filtered by and that are not the API's own: custom properties."""
    return frozenset(name for name, _ in pairs) - LIST_PARAMETERS


def with_page(pairs: list[tuple[str, str]], *, marker: str | None, limit: int) -> str:
    """Return the query string of another page of the same list."""
    kept = [(name, value) for name, value in pairs if name not in ("marker", "limit")]
    page = [("limit", str(limit))] + ([("marker", marker)] if marker is not None else [])
    return urlencode(kept + page)


def marker(link: object) -> str:
    """Return the marker in a ``next`` link; raises UnexpectedDocument."""
    found = dict(parse_qsl(urlsplit(link).query)).get("marker") if isinstance(link, str) else None
    if not found:
        raise UnexpectedDocument("a `next` link without a marker")
    return found
