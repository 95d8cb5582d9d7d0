"""Compares runs of full size with published figures, from the records in this folder.

`rows.yaml` says what each row is, `records/` has its finished records, and
`capsbench report --headline` writes `docs/headline.md`, a figure and the README's table from both.
"""
