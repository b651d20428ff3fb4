"""FHIR R4 as real input: a bulk export's resources as events, and each patient's timeline over them."""
