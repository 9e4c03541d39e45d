# Records of an office, as a decision query names them: a type of resource that this package knows nothing of.
#
# Serve it together with records.json, which says what the records are and who has which role:
# a query may then name both by id alone.

clerk("alice");
clerk("bob");
writer("alice");

record(resource) if resource.type = "record";

# Whoever works here reads.
allow(subject: Subject, "read", resource: Resource) if
    record(resource) and
    clerk(subject.id);

# A record is written while it is active.
allow(subject: Subject, "write", resource: Resource) if
    record(resource) and
    resource.get("status") = "active" and
    writer(subject.id);

# What has been archived is corrected by those with the role only, which is a property of the subject.
allow(subject: Subject, "write", resource: Resource) if
    record(resource) and
    resource.get("status") = "archived" and
    subject.get("role") = "admin";

# A property of the action: a soft delete can be undone.
allow(subject: Subject, "delete", resource: Resource) if
    record(resource) and
    context.get("action.soft") = true and
    writer(subject.id);
