# Hide properties from everyone but admins and the cloud's own services, their image's owner included.
#
#     policy = rules rules/variants/hidden_property.polar
#
# The default rules let a property be read by whoever may read the image, so hiding one needs `forbid`: it
# wins over every `allow`. All four actions are forbidden, not only reading: an owner who could write what
# it cannot see could overwrite it.

hidden("cost_centre");
hidden("support_contract");

forbid(subject: Subject, action, property: Property) if
    action in ["create", "read", "update", "delete"] and
    hidden(property.name) and
    not sees_hidden(subject);

sees_hidden(subject) if image_admin(subject);
sees_hidden(subject) if trusted_service(subject);
