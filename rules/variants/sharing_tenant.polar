# One tenant may share any image with any other: a publisher, a support desk, a marketplace.
#
#     policy = rules rules/variants/sharing_tenant.polar
#
# It sees every image in order to share it, and does not change or download what is not its own. The API's
# own policy must let it do the same: these rules never grant what the API refuses.

sharing_tenant("publisher");

shares_all(subject) if member(subject) and sharing_tenant(subject.tenant);

may_read(subject, _image) if shares_all(subject);

allow(subject: Subject, "get_members", _image: Image) if shares_all(subject);

allow(subject: Subject, action, _membership: Member) if
    action in ["add_member", "get_member", "delete_member"] and
    shares_all(subject);
