"""How it is searched: spaces, proposals, engines, and the sweep that drives them."""
