"""The language server: what lint finds, and what the vocabulary says, while a policy is written."""
