# Hide properties from everyone but admins and the cloud's own services, their image's owner included.
#
#     policy = rules rules/variants/hidden_property.polar
#
# The default rules let a property be read by whoever may read the image, so hiding one needs `forbid`: it
# wins over every `allow`. All four actions are forbidden, not only reading: an owner who could write what
# it cannot see could overwrite it.

hidden("cost_centre");
hidden("support_contract");

# Some databases compare names without case and trailing space: whoever could create `Cost_Centre` would learn
# from the answer whether there is a `cost_centre`. Name them here as well.
is_hidden(property) if hidden(property.name);
is_hidden(property) if property.matches("(?i)^ *(cost_centre|support_contract) *$");

forbid(subject: Subject, action, property: Property) if
    action in ["create", "read", "update", "delete"] and
    is_hidden(property) and
    not sees_hidden(subject);

sees_hidden(subject) if image_admin(subject);
sees_hidden(subject) if trusted_service(subject);
