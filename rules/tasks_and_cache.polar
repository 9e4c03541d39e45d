# What belongs to the operator: tasks, the image cache, details of stores.
#
# `_resource` without a type: the rule is about whatever the question names.

allow(subject: Subject, "tasks_api_access", _resource) if admin(subject);

# A tenant's own tasks, where an API tells tasks apart. Glance itself asks only `tasks_api_access`.
allow(subject: Subject, action, task: Task) if
    action in ["get_task", "get_tasks", "add_task", "modify_task"] and
    (admin(subject) or task.owner = subject.tenant);

allow(subject: Subject, action, _resource) if
    action in [
        "manage_image_cache", "list_cached_nodes",
        "cache_image", "cache_list", "cache_delete", "cache_clean", "cache_prune"
    ] and
    admin(subject);

allow(subject: Subject, "stores_info_detail", _resource) if service_api(subject);
