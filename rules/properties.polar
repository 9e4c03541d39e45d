# Properties of images: create, read, update, delete.
#
# `property.name` is its name, `property.value` its value, `property.image` the image that it belongs to.

# --- magic properties ---
#
# The compute service boots by these, or writes them itself when it takes a snapshot. Left to an owner, they
# break the boot, name what is not the owner's, or lie about where an image came from. Everybody who may
# read the image reads them; only admins and the cloud's own services write them. Each is a fact: a rule
# without conditions. To protect one more, add a line here or in a file of yours:
# `magic("my_property");`.

# which kernel and ramdisk to boot, and with which command line
magic("kernel_id");
magic("ramdisk_id");
magic("os_command_line");

# which volumes to attach, and under which names
magic("block_device_mapping");
magic("bdm_v2");
magic("mappings");
magic("root_device_name");

# what a snapshot was taken of
magic("instance_uuid");
magic("image_type");
magic("base_image_ref");

# the key of an encrypted volume's image, and whether deleting the image deletes the key
magic("cinder_encryption_key_id");
magic("cinder_encryption_key_deletion_policy");

# Not here, because users set them on their own images with good reason: hw_*, os_type, trait:*,
# img_signature*, owner_specified.*. Nor what a snapshot merely reports (user_id, owner_id, image_state): a
# name so common may be somebody's own.

# Some databases compare names without case and trailing space, so `Kernel_ID` may come to stand where
# `kernel_id` stands. `(?i)` means: in whatever case. One pattern for all of them: it is asked of every name.
respelt(property) if
    property.matches("(?i)^ *(kernel_id|ramdisk_id|os_command_line|block_device_mapping|bdm_v2|mappings|root_device_name|instance_uuid|image_type|base_image_ref|cinder_encryption_key_id|cinder_encryption_key_deletion_policy) *$");

is_magic(property) if magic(property.name);
is_magic(property) if respelt(property);

# The API keeps its own notes under this prefix, and refuses it to everyone.
reserved(property) if property.matches("^os_glance");

# --- rules ---

allow(subject: Subject, "read", property: Property) if may_read(subject, property.image);

allow(subject: Subject, action, property: Property) if
    action in ["create", "update", "delete"] and
    not reserved(property) and
    may_write(subject, action, property);

may_write(subject, _action, _property) if image_admin(subject);

may_write(subject, _action, property) if
    is_magic(property) and
    trusted_service(subject);

may_write(subject, "create", property) if
    not is_magic(property) and
    (may_add(subject, property.image) or may_modify(subject, property.image));

may_write(subject, action, property) if
    action in ["update", "delete"] and
    not is_magic(property) and
    may_modify(subject, property.image);

# --- attributes of the API ---
#
# Whoever may create or change an image may set its attributes (name, visibility, tags, …) as well, so these need no
# `allow`; a `forbid` rule locks one. `property.core` is true for them.

# An image that changes hands takes its properties along, and what they say of its old owner.
forbid(subject: Subject, "update", property: Property) if
    property.name = "owner" and
    not image_admin(subject);

# --- dropping instead of refusing ---
#
# A client that copies all properties of one image or volume to a new image fails as a whole when one of
# them is refused. A `discard` rule drops the property from the request without a word, and the rest goes
# through. It never grants anything.
#
# discard(_subject: Subject, "create", property: Property) if is_magic(property);
