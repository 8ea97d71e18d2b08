"""An ERP before it asks entitlementd: with a middleware and a decorator of its own. tests/test_move.py moves it."""
