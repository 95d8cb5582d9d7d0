"""Contains textbook versions: the papers' equations in the plainest code that computes them.

A module with the name of a variant (with underscores for hyphens) has `textbook(model)`. It returns
an nn.Module with the model's parameters, whose `loss(batch)` is the weighted total that the variant
minimises. Tests compare the variants with these modules, and the speed benchmark compares their
speed.
"""
