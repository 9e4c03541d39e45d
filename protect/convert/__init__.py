"""Policies from one language into another: text in, text out, and the proof that both decide alike."""
