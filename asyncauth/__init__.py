"""Shared tokens for asyncio services: one renewal per expiry, in the whole fleet."""
