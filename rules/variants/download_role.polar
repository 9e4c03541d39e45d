# Downloading needs a role of its own: tenants boot their images, and do not take them home.
#
#     policy = rules rules/variants/download_role.polar
#
# The cloud's own services still fetch the data on behalf of a user, or nothing would boot. They must send
# their service token (in Nova: `send_service_user_token`).

forbid(subject: Subject, action, _image: Image) if
    action in ["download_image", "download_from_store"] and
    not downloader(subject);

downloader(subject) if image_admin(subject);
downloader(subject) if trusted_service(subject);
downloader(subject) if subject.has_role("image_downloader");
