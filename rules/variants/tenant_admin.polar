# The members of one tenant have an admin's rights on every image, and no other right of an admin.
#
#     policy = rules rules/variants/tenant_admin.polar
#
# One more meaning of a word is enough: every rule about images asks `image_admin`. The API's own policy
# must let them do the same: these rules never grant what the API refuses.

admin_tenant("image-operators");

image_admin(subject) if member(subject) and admin_tenant(subject.tenant);
