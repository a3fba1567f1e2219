"""Where tokens are shared. Nothing is imported here: each store's module needs its own libraries."""
