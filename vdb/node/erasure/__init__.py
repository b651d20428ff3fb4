"""The end of data: erasures with their acknowledgements and certificates, legal holds, retention."""
