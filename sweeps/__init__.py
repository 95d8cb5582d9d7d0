"""Decides which runs to make and where: spaces, proposals, engines, and the sweep itself."""
