# Locations: where the data of an image lie.
#
# A location's address may carry credentials of the store, and who can set one can make the image's data be
# something else. The question comes with the image or with one location of it (`location.url`,
# `location.scheme`, `location.image`).

may_see_locations(subject, _image) if image_admin(subject);
may_see_locations(subject, image) if reader(subject) and owns(subject, image);

allow(subject: Subject, "get_image_location", image: Image) if may_see_locations(subject, image);
allow(subject: Subject, "get_image_location", location: Location) if may_see_locations(subject, location.image);

allow(subject: Subject, "set_image_location", image: Image) if may_modify(subject, image);
allow(subject: Subject, "set_image_location", location: Location) if may_modify(subject, location.image);

allow(subject: Subject, "delete_image_location", _resource) if image_admin(subject);

# The calls that services use between themselves.
may_add_location(subject, _image) if service_api(subject);
may_add_location(subject, image) if may_add(subject, image);

allow(subject: Subject, "add_image_location", image: Image) if may_add_location(subject, image);
allow(subject: Subject, "add_image_location", location: Location) if may_add_location(subject, location.image);

allow(subject: Subject, "fetch_image_location", _resource) if service_api(subject);
