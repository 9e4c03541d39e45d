# Loaded together with the shipped rules by paste/demo.ini: a property for the operator's eyes.
#
# Under the shipped rules whoever may read an image reads all its properties, so hiding one takes a `forbid`,
# which wins over every `allow`. It names all four actions: an owner who could write what it cannot see could
# overwrite it. To hide one more, add a line like the next.

operators_only("cost_centre");

forbid(subject: Subject, action, property: Property) if
    action in ["create", "read", "update", "delete"] and
    operators_only(property.name) and
    not subject.has_role("admin");
