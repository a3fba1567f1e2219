"""Vendors and standards that asyncauth speaks."""
