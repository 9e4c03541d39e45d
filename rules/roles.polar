# Who is who.
#
# A policy is a set of rules. A request is allowed when some `allow` rule holds for it and no `forbid` rule
# does; what no rule allows is refused. A rule reads "this, if that": the head, `if`, conditions joined by
# `and` and `or`, and a semicolon. Several rules with one name are alternatives: the name holds when any of
# them does.
#
# The rules in this folder say what Glance allows by default, and in addition keep the properties by which
# the compute service boots out of its users' hands (properties.polar). They can only narrow what the API
# behind them allows: its own policy stays in force.
#
# The names below are this policy's own words, used by the other files. To let more people be one of these,
# add a rule; variants/ shows how.

# `has_role` compares without case. These are the roles of the user's own token.
admin(subject) if subject.has_role("admin");
member(subject) if subject.has_role("member");
reader(subject) if subject.has_role("reader");

# Admin-level rights on images, and on nothing else: no cache, no tasks, no metadata definitions.
image_admin(subject) if admin(subject);

# A request that another service of the cloud passes on for a user carries two tokens: the user's and the
# service's own. The two sets of roles are separate questions. A user who happens to hold a role called
# `service` is not the service.
trusted_service(subject) if subject.has_service_role("service");

# Glance's location and store calls are made by services with their own token as the *user's* token, so
# there Glance asks for `service` among the user's roles. The service's own role is accepted as well: it is
# harder to come by.
service_api(subject) if admin(subject);
service_api(subject) if subject.has_role("service");
service_api(subject) if trusted_service(subject);
