"""The rules that Glance 33 has in its code, by name: what a file of rules adds to and overrides."""

from __future__ import annotations

from typing import Final

_ADMIN = "rule:context_is_admin"
_WRITER = f"{_ADMIN} or (role:member and project_id:%(project_id)s)"
_LISTER = f"{_ADMIN} or (role:reader and project_id:%(project_id)s)"
_SEES = (
    "(project_id:%(project_id)s or project_id:%(member_id)s or 'community':%(visibility)s"
    " or 'public':%(visibility)s or 'shared':%(visibility)s)"
)
_DOWNLOADER = f"{_ADMIN} or (role:member and {_SEES})"
_MEMBERS = f"{_ADMIN} or role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)"
_DEFINITIONS = f"{_ADMIN} or (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))"
_DEFINER = "rule:metadef_admin"


def _all(check: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), check)


GLANCE_RULES: Final[dict[str, str]] = {
    "default": "",
    "context_is_admin": "role:admin",
    "service_api": "role:service or role:admin",
    "metadef_default": "",
    "metadef_admin": _ADMIN,
    "add_image": f"{_ADMIN} or (role:member and project_id:%(project_id)s and project_id:%(owner)s)",
    "get_image": f"{_ADMIN} or (role:reader and {_SEES})",
    "get_images": _LISTER,
    **_all(_WRITER, "modify_image delete_image upload_image communitize_image set_image_location"),
    **_all(_WRITER, "add_member delete_member deactivate reactivate"),
    **_all(_ADMIN, "publicize_image copy_image delete_image_location manage_image_cache list_cached_nodes"),
    **_all(_ADMIN, "tasks_api_access cache_image cache_list cache_delete cache_clean cache_prune"),
    **_all(_DOWNLOADER, "download_image download_from_store"),
    "get_image_location": _LISTER,
    "add_image_location": "rule:service_api or (role:member and project_id:%(project_id)s and project_id:%(owner)s)",
    "fetch_image_location": "rule:service_api",
    **_all(_MEMBERS, "get_member get_members"),
    "modify_member": f"{_ADMIN} or (role:member and project_id:%(member_id)s)",
    **_all("rule:default", "get_task get_tasks add_task modify_task"),
    "stores_info_detail": f"{_ADMIN} or rule:service_api",
    "get_metadef_namespaces": _LISTER,
    **_all(_DEFINITIONS, "get_metadef_namespace get_metadef_object get_metadef_objects get_metadef_property"),
    **_all(_DEFINITIONS, "get_metadef_properties get_metadef_tag get_metadef_tags get_metadef_resource_type"),
    **_all(_DEFINITIONS, "list_metadef_resource_types"),
    **_all(_DEFINER, "add_metadef_namespace modify_metadef_namespace delete_metadef_namespace"),
    **_all(_DEFINER, "add_metadef_object modify_metadef_object delete_metadef_object"),
    **_all(_DEFINER, "add_metadef_resource_type_association remove_metadef_resource_type_association"),
    **_all(_DEFINER, "add_metadef_property modify_metadef_property remove_metadef_property"),
    **_all(_DEFINER, "add_metadef_tag add_metadef_tags modify_metadef_tag delete_metadef_tag delete_metadef_tags"),
}
