"""The routes of the Image API v2: for each method and path the door that treats it and the actions it needs.

A path or a method that is not in this table is refused, never forwarded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from protect.errors import MalformedRequest
from protect.glance.paths import ApiPath, is_identifier


class Door(StrEnum):
    """How a request is treated. Each door is one function of the enforcement point."""

    OPEN = "open"  # no decision
    ACT = "act"  # the actions are decided, then everything streams
    LIST = "list"
    SHOW = "show"
    CREATE = "create"
    PATCH = "patch"
    UPLOAD = "upload"
    STAGE = "stage"
    DOWNLOAD = "download"
    IMPORT = "import"
    IMAGE_TASKS = "image tasks"
    MEMBERS = "members"
    MEMBER_SHOW = "member show"
    MEMBER_ADD = "member add"
    MEMBER_UPDATE = "member update"
    MEMBER_DELETE = "member delete"
    TASK_CREATE = "task create"
    TASKS = "tasks"
    TASK_SHOW = "task show"
    TAG = "tag"
    LOCATIONS = "locations"
    LOCATION_ADD = "location add"
    STORE_DELETE = "store delete"
    SCHEMA = "schema"
    NAMESPACES = "namespaces"
    NAMESPACE_SHOW = "namespace show"
    NAMESPACE_CREATE = "namespace create"
    NAMESPACE_UPDATE = "namespace update"
    DEFINITION = "definition"  # the actions are decided, then everything streams
    DEFINITION_ADD = "definition add"
    DEFINITION_UPDATE = "definition update"
    TAGS_ADD = "tags add"


class On(StrEnum):
    """What the actions are decided on."""

    NOTHING = "nothing"
    IMAGE = "image"
    MEMBER = "member"
    TASK = "task"
    STORE = "store"
    NAMESPACE = "namespace"
    OBJECT = "object"
    PROPERTY = "property"
    TAG = "tag"
    RESOURCE_TYPE = "resource_type"


class Body(StrEnum):
    """What body a request may have."""

    NONE = "none"
    JSON = "json"  # read, checked and decided on
    ANY = "any"  # streams through unread


@dataclass(frozen=True, slots=True)
class Route:
    """One row. In ``path``, a segment in braces stands for any one segment."""

    method: str
    path: str
    door: Door
    on: On
    actions: tuple[str, ...]
    body: Body


class Match(NamedTuple):
    """A request that the table knows: its row, its path, and what stood in the place of the braces."""

    route: Route
    path: ApiPath
    names: Mapping[str, str] = MappingProxyType({})


def _row(line: str) -> Route:
    method, path, door, on, body, *actions = line.split()
    return Route(method, path, Door(door.replace("_", " ")), On(on), tuple(a for a in actions if a != "-"), Body(body))


def _rows(table: str) -> tuple[Route, ...]:
    return tuple(_row(line) for line in table.splitlines() if line.strip())


# method path                                          door          on       body actions (all are needed)
IMAGES = _rows("""
  GET    /images                                       list          image    none get_images
  POST   /images                                       create        image    json add_image
  GET    /images/{image}                               show          image    none get_image
  PATCH  /images/{image}                               patch         image    json get_image modify_image
  DELETE /images/{image}                               act           image    none delete_image
  GET    /images/{image}/file                          download      image    none download_image
  PUT    /images/{image}/file                          upload        image    any  upload_image
  PUT    /images/{image}/stage                         stage         image    any  modify_image
  POST   /images/{image}/import                        import        image    json modify_image
  POST   /images/{image}/actions/deactivate            act           image    none deactivate
  POST   /images/{image}/actions/reactivate            act           image    none reactivate
  PUT    /images/{image}/tags/{tag}                    tag           image    none modify_image
  DELETE /images/{image}/tags/{tag}                    tag           image    none modify_image
  GET    /images/{image}/locations                     locations     image    none fetch_image_location
  POST   /images/{image}/locations                     location_add  image    json add_image_location
  GET    /images/{image}/tasks                         image_tasks   image    none get_image
  GET    /images/{image}/members                       members       image    none get_image get_members
  POST   /images/{image}/members                       member_add    member   json add_member
  GET    /images/{image}/members/{member}              member_show   member   none get_image get_member
  PUT    /images/{image}/members/{member}              member_update member   json get_member modify_member
  DELETE /images/{image}/members/{member}              member_delete member   none get_member delete_member
  DELETE /stores/{store}/{image}                       store_delete  image    none get_image_location delete_image_location
""")  # noqa: E501

TASKS = _rows("""
  GET    /tasks                                        tasks         task     none tasks_api_access
  POST   /tasks                                        task_create   task     json tasks_api_access
  GET    /tasks/{task}                                 task_show     task     none tasks_api_access
  DELETE /tasks/{task}                                 act           task     none tasks_api_access
""")

CACHE = _rows("""
  GET    /cache                                        act           store    none cache_list
  DELETE /cache                                        act           store    none cache_delete
  POST   /cache/clean                                  act           store    none cache_clean
  POST   /cache/prune                                  act           store    none cache_prune
  PUT    /cache/{image}                                act           image    none cache_image
  DELETE /cache/{image}                                act           image    none cache_delete
  GET    /cache/nodes/{image}                          act           image    none list_cached_nodes
  GET    /cached_images                                act           store    none manage_image_cache
  DELETE /cached_images                                act           store    none manage_image_cache
  DELETE /cached_images/{image}                        act           image    none manage_image_cache
  GET    /queued_images                                act           store    none manage_image_cache
  DELETE /queued_images                                act           store    none manage_image_cache
  PUT    /queued_images/{image}                        act           image    none manage_image_cache
  DELETE /queued_images/{image}                        act           image    none manage_image_cache
""")

OPEN = _rows("""
  GET    /                                             open          nothing  none -
  HEAD   /                                             open          nothing  none -
  GET    /schemas/image                                schema        nothing  none -
  GET    /schemas/images                               schema        nothing  none -
  GET    /schemas/member                               open          nothing  none -
  GET    /schemas/members                              open          nothing  none -
  GET    /schemas/task                                 open          nothing  none -
  GET    /schemas/tasks                                open          nothing  none -
  GET    /schemas/metadefs/namespace                   open          nothing  none -
  GET    /schemas/metadefs/namespaces                  open          nothing  none -
  GET    /schemas/metadefs/resource_type               open          nothing  none -
  GET    /schemas/metadefs/resource_types              open          nothing  none -
  GET    /schemas/metadefs/property                    open          nothing  none -
  GET    /schemas/metadefs/properties                  open          nothing  none -
  GET    /schemas/metadefs/object                      open          nothing  none -
  GET    /schemas/metadefs/objects                     open          nothing  none -
  GET    /schemas/metadefs/tag                         open          nothing  none -
  GET    /schemas/metadefs/tags                        open          nothing  none -
  GET    /info/import                                  open          nothing  none -
  GET    /info/stores                                  open          nothing  none -
  GET    /info/usage                                   open          nothing  none -
  GET    /info/stores/detail                           act           store    none stores_info_detail
""")

METADEFS = _rows("""
  GET    /metadefs/resource_types                                       definition        resource_type none list_metadef_resource_types
  GET    /metadefs/namespaces                                           namespaces        namespace     none get_metadef_namespaces list_metadef_resource_types
  POST   /metadefs/namespaces                                           namespace_create  namespace     json add_metadef_namespace
  GET    /metadefs/namespaces/{namespace}                               namespace_show    namespace     none get_metadef_namespace
  PUT    /metadefs/namespaces/{namespace}                               namespace_update  namespace     json modify_metadef_namespace
  DELETE /metadefs/namespaces/{namespace}                               definition        namespace     none delete_metadef_namespace
  GET    /metadefs/namespaces/{namespace}/resource_types                definition        resource_type none list_metadef_resource_types get_metadef_resource_type
  POST   /metadefs/namespaces/{namespace}/resource_types                definition_add    resource_type json add_metadef_resource_type_association
  DELETE /metadefs/namespaces/{namespace}/resource_types/{item}         definition        resource_type none remove_metadef_resource_type_association
  GET    /metadefs/namespaces/{namespace}/properties                    definition        property      none get_metadef_properties
  POST   /metadefs/namespaces/{namespace}/properties                    definition_add    property      json add_metadef_property
  DELETE /metadefs/namespaces/{namespace}/properties                    definition        namespace     none delete_metadef_namespace
  GET    /metadefs/namespaces/{namespace}/properties/{item}             definition        property      none get_metadef_property
  PUT    /metadefs/namespaces/{namespace}/properties/{item}             definition_update property      json modify_metadef_property
  DELETE /metadefs/namespaces/{namespace}/properties/{item}             definition        property      none remove_metadef_property
  GET    /metadefs/namespaces/{namespace}/objects                       definition        object        none get_metadef_objects
  POST   /metadefs/namespaces/{namespace}/objects                       definition_add    object        json add_metadef_object
  DELETE /metadefs/namespaces/{namespace}/objects                       definition        namespace     none delete_metadef_namespace
  GET    /metadefs/namespaces/{namespace}/objects/{item}                definition        object        none get_metadef_object
  PUT    /metadefs/namespaces/{namespace}/objects/{item}                definition_update object        json modify_metadef_object
  DELETE /metadefs/namespaces/{namespace}/objects/{item}                definition        object        none delete_metadef_object
  GET    /metadefs/namespaces/{namespace}/tags                          definition        tag           none get_metadef_tags
  POST   /metadefs/namespaces/{namespace}/tags                          tags_add          tag           json add_metadef_tags
  DELETE /metadefs/namespaces/{namespace}/tags                          definition        tag           none delete_metadef_namespace delete_metadef_tags
  GET    /metadefs/namespaces/{namespace}/tags/{item}                   definition        tag           none get_metadef_tag
  POST   /metadefs/namespaces/{namespace}/tags/{item}                   definition        tag           any  add_metadef_tag
  PUT    /metadefs/namespaces/{namespace}/tags/{item}                   definition_update tag           json modify_metadef_tag
  DELETE /metadefs/namespaces/{namespace}/tags/{item}                   definition        tag           none delete_metadef_tag
""")  # noqa: E501

ROUTES = IMAGES + TASKS + CACHE + OPEN + METADEFS


class MethodNotAllowed(MalformedRequest):
    """The path exists, but not with this method. ``allowed`` is the value of the Allow header."""

    def __init__(self, method: str, allowed: str) -> None:
        self.allowed = allowed
        message = f"the method `{method[:20]}` is not allowed for this resource; allowed: {allowed}"
        super().__init__(message, 405)


def find(method: str, path: ApiPath) -> Match:
    """Return the row for a request; raises MalformedRequest (404) or MethodNotAllowed (405)."""
    segments = path.segments
    for pattern in _PATTERNS.get(_shape(segments), ()):
        if not pattern.spelled or all(segments[place] == text for place, text in pattern.spelled):
            route = pattern.routes.get(method)
            if route is None:
                raise MethodNotAllowed(method, ", ".join(pattern.routes))
            names = {name: segments[place] for place, name in pattern.braces}
            for kind in pattern.identified:
                if not is_identifier(names[kind]):
                    raise MalformedRequest(f"No {kind} found with that ID; ids are lower case here", status=404)
            return Match(route, path, names)
    raise MalformedRequest("the resource could not be found", status=404)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """One path of the table and its rows by method. ``spelled`` and ``braces`` are places and what stands there.

    The first segment is not among ``spelled``: the shape says it. ``identified`` are the names in braces that an
    identifier must stand for.
    """

    spelled: tuple[tuple[int, str], ...]
    braces: tuple[tuple[int, str], ...]
    identified: tuple[str, ...]
    routes: Mapping[str, Route]


def _shape(segments: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    # Every row spells its first segment out: few are left to be compared.
    return len(segments), segments[:1]


def _patterns() -> Mapping[tuple[int, tuple[str, ...]], tuple[_Pattern, ...]]:
    """Return the table by the shape of its paths.

    A path that spells a segment out stands before those that have braces there, so that `/cache/clean` is never the
    cache entry of an image called `clean`.
    """
    methods: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        methods.setdefault(route.path, {})[route.method] = route
    shapes: dict[tuple[int, tuple[str, ...]], list[_Pattern]] = {}
    for path, routes in methods.items():
        segments = tuple(part for part in path.split("/") if part)
        spelled = tuple((place, part) for place, part in enumerate(segments) if place and not part.startswith("{"))
        braces = tuple((place, part[1:-1]) for place, part in enumerate(segments) if part.startswith("{"))
        identified = tuple(name for _, name in braces if name in ("image", "task"))
        shapes.setdefault(_shape(segments), []).append(_Pattern(spelled, braces, identified, routes))
    return {shape: tuple(sorted(found, key=lambda each: len(each.braces))) for shape, found in shapes.items()}


_PATTERNS = _patterns()
