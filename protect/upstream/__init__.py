"""The API behind us: what we read of a request for it, what we ask it ourselves, and what comes back."""
