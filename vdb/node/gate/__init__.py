"""The one gate that every call passes, whatever its door: writes, reads, and what each is answered."""
