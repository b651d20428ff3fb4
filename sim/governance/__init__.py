"""The workload of governance: officers apply policies, clinicians break the glass, others review, subjects consent."""
