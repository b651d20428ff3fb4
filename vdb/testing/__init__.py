"""What programs test their projections with, in memory and in milliseconds; no pytest is needed.

    from vdb.testing import given, stream

    def test_who_is_admitted_is_counted():
        (
            given(PatientAdmitted(patient_id="7", ward="A"))
            .when(census, stream("patient-8", PatientAdmitted(patient_id="8", ward="A")))
            .then_rows("wards", [{"ward": "A", "patients": 2}])
        )

`given` takes events, `when` the projection that reads them (and events that come after those), and what follows says
what there must be then. The same events are applied in several ways, and all must give the same rows:
`vdb.testing.variations` has them. `vdb.pytest_plugin` gives pytest the fixture `verity_db`.
"""

from vdb.testing.events import StreamPart, stream
from vdb.testing.scenario import Given, Outcome, given

__all__ = ["Given", "Outcome", "StreamPart", "given", "stream"]
