"""Root keys that are exchanged, and data keys that follow each other, under fire."""
