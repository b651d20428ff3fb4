"""Who asks: certificates, tokens, and what was revoked."""
