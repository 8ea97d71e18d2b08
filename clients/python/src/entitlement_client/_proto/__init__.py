"""The stubs that `generate.py` makes from the protos. Nobody edits them."""
