"""From parts of a source to the bytes of an asset, one module per kind; a file that is used as it is needs none.

The package may import `generators` and what lies below.
"""
