"""A decision log against another policy: what would have been decided otherwise. Pure: lines in, answers out."""
