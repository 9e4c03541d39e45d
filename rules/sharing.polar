# Sharing: the members of an image.
#
# `member.tenant` is whom the image is shared with, `member.image` the image. The list of members is asked
# about on the image.

allow(subject: Subject, "get_members", image: Image) if
    image_admin(subject) or
    (reader(subject) and (owns(subject, image) or shared_with(subject, image)));

# A member sees its own membership, not who else the image is shared with.
allow(subject: Subject, "get_member", membership: Member) if
    image_admin(subject) or
    (reader(subject) and (owns(subject, membership.image) or membership.tenant = subject.tenant));

# Only the tenant itself accepts or rejects: an owner cannot put an image into somebody's list.
allow(subject: Subject, "modify_member", membership: Member) if
    image_admin(subject) or
    (member(subject) and membership.tenant = subject.tenant);

allow(subject: Subject, action, membership: Member) if
    action in ["add_member", "delete_member"] and
    may_modify(subject, membership.image);
