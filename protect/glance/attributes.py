"""The names in an image document: which are the API's own attributes, and which are custom properties."""

from __future__ import annotations

TEXT = frozenset({"name", "visibility", "owner", "disk_format", "container_format"})
FLAGS = frozenset({"protected", "os_hidden"})
NUMBERS = frozenset({"min_disk", "min_ram"})

READ_ONLY = frozenset(
    {
        "id",
        "status",
        "size",
        "virtual_size",
        "checksum",
        "os_hash_algo",
        "os_hash_value",
        "created_at",
        "updated_at",
        "direct_url",
        "self",
        "file",
        "schema",
        "stores",
    }
)

# Everything else in a flat image document is a custom property, and nothing else is.
CORE = TEXT | FLAGS | NUMBERS | READ_ONLY | {"tags", "locations"}

# Where an image's data lie: shown only to those who may `get_image_location`. Two names for one thing.
LOCATION_ATTRIBUTES = frozenset({"locations", "direct_url"})

# Clients cannot do without these, so no rule hides them.
ALWAYS_SHOWN = frozenset({"id", "self", "file", "schema", "status", "visibility", "created_at", "updated_at", "tags"})
HIDEABLE = CORE - ALWAYS_SHOWN

RESERVED = frozenset({"location", "deleted", "deleted_at"})
RESERVED_PREFIX = "os_glance"

# The API applies a change with `setattr` where its own image object has an attribute of that name, so these
# names in a patch reach its internals (`/image_id`: the row it writes to) instead of a custom property.
INTERNAL = frozenset(
    {
        "_abc_impl",
        "_format_image_send",
        "_format_import_properties",
        "_get_chunk_data_iterator",
        "_upload_to_store",
        "_verify_signature",
        "_verify_uploaded_data",
        "added_new_properties",
        "base",
        "context",
        "db_api",
        "deactivate",
        "delayed_delete",
        "delete",
        "extra_properties",
        "get_data",
        "get_payload",
        "get_super_class",
        "helper",
        "image",
        "image_id",
        "image_repo",
        "item_proxy_class",
        "item_proxy_kwargs",
        "member",
        "notifier",
        "orig_props",
        "property_rules",
        "reactivate",
        "repo",
        "send_notification",
        "set_data",
        "store_api",
        "store_utils",
        "valid_state_targets",
    }
)

# What the API takes from a location that is added, and then writes: its own attributes.
VALIDATION = frozenset({"checksum", "os_hash_algo", "os_hash_value"})

MAX_NAME_LENGTH = 255
MAX_WRITTEN = 512  # properties, tags and locations that one request may write; the API itself takes 128, 128 and 10


def is_reserved(name: str) -> bool:
    """Tell whether no client may write ``name``, whatever a policy says."""
    return name in RESERVED or name.startswith(RESERVED_PREFIX)


def is_internal(name: str) -> bool:
    """Tell whether a patch of ``name`` would reach the API's own objects instead of a property."""
    return name in INTERNAL or name.startswith("__")
