# An image's data may lie in these kinds of stores, and in no others.
#
#     policy = rules rules/variants/location_schemes.polar
#
# Who may set a location makes the API read whatever its address names: a file of the host, a service that only the
# host can reach. `location.scheme` is what stands before the colon, in lower case; an address without one is refused.

forbid(_subject: Subject, action, location: Location) if
    action in ["set_image_location", "add_image_location"] and
    not location.scheme in ["http", "https", "rbd"];
