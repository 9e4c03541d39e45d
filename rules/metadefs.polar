# Metadata definitions: the catalogue of property names that the dashboard offers.
#
# A call on a collection asks with the subject's own tenant as the owner.

allow(subject: Subject, "get_metadef_namespaces", metadef: Metadef) if
    admin(subject) or
    (reader(subject) and metadef.owner = subject.tenant);

allow(subject: Subject, action, metadef: Metadef) if
    action in [
        "get_metadef_namespace",
        "get_metadef_object", "get_metadef_objects",
        "get_metadef_property", "get_metadef_properties",
        "get_metadef_tag", "get_metadef_tags",
        "get_metadef_resource_type", "list_metadef_resource_types"
    ] and
    may_read_metadef(subject, metadef);

may_read_metadef(subject, _metadef) if admin(subject);
may_read_metadef(subject, metadef) if reader(subject) and metadef.owner = subject.tenant;
may_read_metadef(subject, metadef) if reader(subject) and metadef.visibility = "public";

# Every tenant sees the public definitions, so only the operator writes them.
allow(subject: Subject, action, _metadef: Metadef) if
    action in [
        "add_metadef_namespace", "modify_metadef_namespace", "delete_metadef_namespace",
        "add_metadef_object", "modify_metadef_object", "delete_metadef_object",
        "add_metadef_property", "modify_metadef_property", "remove_metadef_property",
        "add_metadef_tag", "add_metadef_tags", "modify_metadef_tag", "delete_metadef_tag", "delete_metadef_tags",
        "add_metadef_resource_type_association", "remove_metadef_resource_type_association"
    ] and
    admin(subject);
