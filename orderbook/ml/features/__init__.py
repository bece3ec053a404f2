"""Features of each second, family by family; their formulas stand in the families' docstrings."""
