"""Words that an image API and its policies know: for misspelt ones, and for what needs protection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from protect.glance.attributes import CORE
from protect.glance.routes import ROUTES
from protect.protections.glance_rules import GLANCE_RULES
from protect.spelling import nearest

#: What is done to a property.
OPERATIONS: Final = ("create", "read", "update", "delete")

#: Names in Glance's rules that no request asks for by themselves.
_HELPERS: Final = frozenset({"default", "context_is_admin", "service_api", "metadef_default", "metadef_admin"})

#: Names that once were rules of Glance, with what became of them.
RETIRED: Final[Mapping[str, str]] = {
    "copy_from": "the v1 API is gone",
    "restricted": "it was an example in the documentation",
    "get_task": "only `tasks_api_access` is asked since the Xena release",
    "get_tasks": "only `tasks_api_access` is asked since the Xena release",
    "add_task": "only `tasks_api_access` is asked since the Xena release",
    "modify_task": "nothing asks for it",
    "metadef_default": "the rules of metadata definitions no longer refer to it",
}

ROLES: Final = ("admin", "auditor", "creator", "manager", "member", "reader", "service")

#: Keystone gave this role to everybody in a project, until 2018.
LEGACY_ROLES: Final[Mapping[str, str]] = {"_member_": "member"}

VALUES: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("Image", "visibility"): ("public", "community", "shared", "private"),
    ("Image", "status"): (
        *("queued", "saving", "active", "killed", "deleted", "pending_delete", "deactivated", "uploading", "importing"),
    ),
    ("Member", "status"): ("pending", "accepted", "rejected"),
    ("Metadef", "visibility"): ("public", "private"),
}

#: Properties that the compute service boots by, or writes itself: not for an image's owner to change.
MAGIC: Final = (
    *("kernel_id", "ramdisk_id", "os_command_line"),
    *("block_device_mapping", "bdm_v2", "mappings", "root_device_name"),
    *("instance_uuid", "image_type", "base_image_ref"),
    *("cinder_encryption_key_id", "cinder_encryption_key_deletion_policy"),
)

#: Properties with a meaning that many clouds share.
PROPERTIES: Final = frozenset(
    {
        *MAGIC,
        *("architecture", "auto_disk_config", "description", "hypervisor_type", "image_location", "image_state"),
        *("img_config_drive", "img_hide_hypervisor_id", "img_signature", "img_signature_certificate_uuid"),
        *("img_signature_hash_method", "img_signature_key_type", "img_type", "instance_type_rxtx_factor"),
        *("os_admin_user", "os_distro", "os_secure_boot", "os_secure_boot_signature", "os_shutdown_timeout"),
        *("os_type", "os_version", "owner_id", "rootfs_uuid", "user_id", "vm_mode"),
        *("hw_boot_menu", "hw_cdrom_bus", "hw_cpu_cores", "hw_cpu_max_cores", "hw_cpu_max_sockets"),
        *("hw_cpu_max_threads", "hw_cpu_policy", "hw_cpu_sockets", "hw_cpu_thread_policy", "hw_cpu_threads"),
        *("hw_disk_bus", "hw_firmware_stateless", "hw_firmware_type", "hw_machine_type", "hw_mem_encryption"),
        *("hw_mem_encryption_model", "hw_mem_page_size", "hw_numa_nodes", "hw_pmu", "hw_pointer_model"),
        *("hw_qemu_guest_agent", "hw_rescue_bus", "hw_rescue_device", "hw_rng_model", "hw_scsi_model"),
        *("hw_serial_port_count", "hw_time_hpet", "hw_tpm_model", "hw_tpm_version", "hw_vif_model"),
        *("hw_vif_multiqueue_enabled", "hw_video_model", "hw_video_ram", "hw_virtio_packed_ring"),
        *("hw_watchdog_action",),
    }
)

#: How alike a word and a known one must be for it to count as misspelt.
_ALIKE: Final = 0.82


@cache
def actions() -> frozenset[str]:
    """Return every action that an image API asks about."""
    asked = {action for route in ROUTES for action in route.actions}
    return frozenset((asked | GLANCE_RULES.keys()) - _HELPERS)


@cache
def rule_names() -> frozenset[str]:
    """Return every name that Glance's own rules have."""
    return actions() | _HELPERS


def core_attributes() -> frozenset[str]:
    """Return the attributes of the API, which are no properties."""
    return CORE


def misspelt(word: str, known: Iterable[str], alike: float = _ALIKE) -> str | None:
    """Return the known word that ``word`` probably should be; None where it is known, or near to none."""
    words = sorted(known)
    if word in words or len(word) < 4:
        return None
    near = nearest(word.lower(), words, alike)
    return near if near != word else None
