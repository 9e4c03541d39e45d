"""Polar, the language of policies: its syntax tree, and a parser that reports all mistakes of a file."""
