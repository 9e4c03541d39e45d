"""The query strings of the Image API: which parameters of a list ask about a custom property."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

from protect.errors import MalformedRequest
from protect.glance.attributes import CORE
from protect.glance.documents import UnexpectedDocument
from protect.json_bodies import printable

MAX_PARAMETERS = 200

# Those that the API itself reads as often as they are given.
_REPEATABLE = frozenset({"tag", "sort_key", "sort_dir"})

_ORDER = frozenset({"sort", "sort_key"})
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


def list_parameters(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the parameters of a list; raises MalformedRequest for one given twice.

    Of two limits the API takes the first and filters by a property called `limit` with the other.
    """
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen and name not in _REPEATABLE:
            raise MalformedRequest(f"the parameter `{printable(name)}` is given twice")
        seen.add(name)
    limit(pairs)
    return pairs


def preferred_stores(pairs: list[tuple[str, str]]) -> tuple[str, ...] | None:
    """Return the stores that a download prefers, None where it says nothing; raises MalformedRequest."""
    given = [value for name, value in pairs if name == "prefer"]
    if len(given) > 1:
        raise MalformedRequest("the parameter `prefer` is given twice")
    return tuple(filter(None, (store.strip() for store in given[0].split(",")))) if given else None


def limit(pairs: list[tuple[str, str]]) -> int | None:
    """Return how many images a list may have, None where it does not say; raises MalformedRequest."""
    given = dict(pairs).get("limit")
    if given is None:
        return None
    if not (given.isascii() and given.isdigit()) or len(given) > 18:
        raise MalformedRequest("the parameter `limit` must be a whole number that is not negative")
    return int(given)


def property_filters(pairs: list[tuple[str, str]]) -> frozenset[str]:
    """Return the names that a list is filtered by and that are not the API's own: custom properties."""
    return frozenset(name for name, _ in pairs) - LIST_PARAMETERS


def attributes_asked(pairs: list[tuple[str, str]]) -> frozenset[str]:
    """Return the attributes of the API that a list is filtered or sorted by: its order tells of them as well."""
    filters = {name.removesuffix("_min").removesuffix("_max") for name, _ in pairs if name not in _ORDER}
    return (frozenset(filters) & CORE) | order(pairs)


def order(pairs: list[tuple[str, str]]) -> frozenset[str]:
    """Return the attributes of the API that a list is sorted by, beside those that nobody hides."""
    keys = (part for name, value in pairs if name in _ORDER for part in value.split(","))
    return frozenset(key.partition(":")[0].strip() for key in keys) & CORE


def with_page(pairs: list[tuple[str, str]], *, marker: str | None, limit: int | None) -> str:
    """Return the query string of another page of the same list."""
    kept = [(name, value) for name, value in pairs if name not in ("marker", "limit")]
    page = [("limit", limit), ("marker", marker)]
    return urlencode(kept + [(name, str(value)) for name, value in page if value is not None])


def with_marker(link: str, marker: str) -> str:
    """Return ``link`` to a page with another marker."""
    path, _, query = link.partition("?")
    pairs = [(name, marker if name == "marker" else value) for name, value in parse_qsl(query, keep_blank_values=True)]
    return f"{path}?{urlencode(pairs)}"


def marker(link: object) -> str:
    """Return the marker in a ``next`` link; raises UnexpectedDocument."""
    found = dict(parse_qsl(urlsplit(link).query)).get("marker") if isinstance(link, str) else None
    if not found:
        raise UnexpectedDocument("a `next` link without a marker")
    return found
