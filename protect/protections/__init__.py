"""Glance's property-protection files as decision graphs. Pure: text in, graphs out, and never Oso."""
