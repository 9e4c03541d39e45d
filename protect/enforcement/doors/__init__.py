"""The doors: for each way to treat a request, the function that decides on it and returns a plan.

They raise Refused or MalformedRequest to stop a request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from protect.enforcement.doors import (
    act,
    create,
    data,
    listing,
    locations,
    members,
    metadefs,
    patch,
    schemas,
    show,
    tags,
    tasks,
)
from protect.enforcement.exchange import Exchange
from protect.enforcement.plan import Plan
from protect.glance.routes import Door

DOORS: Mapping[Door, Callable[[Exchange], Plan]] = {
    Door.OPEN: lambda _: Plan(),
    Door.ACT: act.act,
    Door.LIST: listing.list_images,
    Door.SHOW: show.show,
    Door.CREATE: create.create,
    Door.PATCH: patch.patch,
    Door.UPLOAD: data.upload,
    Door.STAGE: data.stage,
    Door.DOWNLOAD: data.download,
    Door.IMPORT: data.import_,
    Door.IMAGE_TASKS: tasks.list_of_image,
    Door.MEMBERS: members.list_members,
    Door.MEMBER_SHOW: members.show,
    Door.MEMBER_ADD: members.add,
    Door.MEMBER_UPDATE: members.update,
    Door.MEMBER_DELETE: members.delete,
    Door.TASK_CREATE: tasks.create,
    Door.TASKS: tasks.list_tasks,
    Door.TASK_SHOW: tasks.show,
    Door.TAG: tags.change,
    Door.LOCATIONS: locations.show,
    Door.LOCATION_ADD: locations.add,
    Door.STORE_DELETE: locations.remove_from_store,
    Door.SCHEMA: schemas.show,
    Door.NAMESPACES: metadefs.list_namespaces,
    Door.NAMESPACE_SHOW: metadefs.show,
    Door.NAMESPACE_CREATE: metadefs.create,
    Door.NAMESPACE_UPDATE: metadefs.update,
    Door.DEFINITION: metadefs.act,
    Door.DEFINITION_ADD: metadefs.add_definition,
    Door.DEFINITION_UPDATE: metadefs.update_definition,
    Door.TAGS_ADD: metadefs.add_tags,
}
