"""What is known of the Image API's wire format: bytes and values in, queries and edits out. No I/O."""
