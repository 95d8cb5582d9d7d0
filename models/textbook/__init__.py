"""Textbook versions: the papers' equations in the plainest code that computes them.

A module named after a variant (hyphens as underscores) has `textbook(model)`: an nn.Module with
the model's parameters, whose `loss(batch)` is the weighted total that the variant minimises. Tests
hold the variants to these; the speed benchmark measures the variants against them.
"""
