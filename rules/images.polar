# Images: the list, reading, creating, changing, deleting, and the data.
#
# `subject` asks, `action` is what it wants to do (Glance's policy names), the third argument is what it
# wants to do it to. `image: Image` means "this rule is about images". Facts are compared with `=`, and two
# facts are equal only when both have a value: an image without an owner is owned by nobody, not by a
# subject without a tenant.

# --- words ---

owns(subject, image) if image.owner = subject.tenant;

# An image is shared with the tenants on its member list. What a member answered (pending, accepted,
# rejected) decides what its list shows, not what it may read: a pending member must see the image in order
# to accept it, and a rejected one may change its mind.
shared_with(subject, image) if image.visibility = "shared" and image.shared_with(subject, "accepted");
shared_with(subject, image) if image.visibility = "shared" and image.shared_with(subject, "pending");
shared_with(subject, image) if image.visibility = "shared" and image.shared_with(subject, "rejected");

visible(subject, image) if owns(subject, image);
visible(_subject, image) if image.visibility in ["public", "community"];
visible(subject, image) if shared_with(subject, image);

may_read(subject, _image) if image_admin(subject);
may_read(subject, image) if reader(subject) and visible(subject, image);

may_add(subject, _image) if image_admin(subject);
may_add(subject, image) if member(subject) and owns(subject, image);

may_modify(subject, _image) if image_admin(subject);
may_modify(subject, image) if member(subject) and owns(subject, image);

may_download(subject, _image) if image_admin(subject);
may_download(subject, image) if member(subject) and visible(subject, image);

# --- rules ---

# Every reader may list, also one without a tenant, who owns nothing: each image of the answer is then asked about
# by `get_image`.
allow(subject: Subject, "get_images", _image: Image) if
    image_admin(subject) or
    reader(subject);

allow(subject: Subject, "get_image", image: Image) if may_read(subject, image);

allow(subject: Subject, "add_image", image: Image) if may_add(subject, image);

allow(subject: Subject, action, image: Image) if
    action in ["modify_image", "delete_image", "upload_image", "deactivate", "reactivate", "communitize_image"] and
    may_modify(subject, image);

allow(subject: Subject, action, image: Image) if
    action in ["download_image", "download_from_store"] and
    may_download(subject, image);

# Whatever everyone sees, and copies between stores, are the operator's business.
allow(subject: Subject, action, _image: Image) if
    action in ["publicize_image", "copy_image"] and
    image_admin(subject);
