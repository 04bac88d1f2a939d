"""Conversations and preferences: read from files, and rendered to ids with their loss mask."""
