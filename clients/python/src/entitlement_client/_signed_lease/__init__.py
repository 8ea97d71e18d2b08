"""Signed leases: what they say, who has signed them, and what time it is at the least."""
