"""Prints as JSON what queries, bulk writes, expressions and management commands give."""

import datetime
import io
import json
import sys
from decimal import Decimal

import django

django.setup()

from clinic.models import Appointment, Patient, Provider  # noqa: E402
from django.contrib.auth import authenticate  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.db.migrations.recorder import MigrationRecorder  # noqa: E402
from django.db.models import Avg, Count, F, Max, Q, Sum, Value, Window  # noqa: E402
from django.db.models.functions import Coalesce, ExtractYear, Rank, TruncMonth, Upper  # noqa: E402

DAY = datetime.datetime(2026, 3, 1, 9, tzinfo=datetime.UTC)
out = {}

User.objects.create_superuser("root", "root@example.org", "secret")
out["auth"] = [bool(authenticate(username="root", password=word)) for word in ("secret", "wrong")]

Patient.objects.bulk_create(
    Patient(
        name=f"P{n:03}",
        born=datetime.date(1950 + n % 50, 1 + n % 12, 1 + n % 28),
        balance=Decimal(n) / 4,
        allergies={"to": ["nuts", "dust"][: n % 3], "deep": {"n": n}},
        photo=bytes([n % 256, 0, 255]),
    )
    for n in range(600)
)
providers = [Provider.objects.create(name=name) for name in ("Lee", "Kim")]
people = list(Patient.objects.order_by("name"))
providers[0].patients.set(people[:300])
providers[1].patients.add(*people[200:400])
Appointment.objects.bulk_create(
    Appointment(
        patient=people[n],
        provider=providers[n % 2],
        begins=DAY + datetime.timedelta(hours=7 * n),
        lasts=datetime.timedelta(minutes=10 + n % 3),
        room=f"r{n % 5}",
    )
    for n in range(300)
)

out["select_related"] = [
    [each.patient.name, each.provider.name, each.door]
    for each in Appointment.objects.select_related("patient", "provider")[:7]
]
out["prefetch"] = [
    [each.name, [patient.name for patient in each.patients.all()][:4]]
    for each in Provider.objects.prefetch_related("patients")
]
out["aggregates"] = str(
    Appointment.objects.aggregate(n=Count("*"), rooms=Count("room", distinct=True), t=Sum("lasts"), last=Max("begins"))
)
out["by month"] = [
    [str(each["month"]), each["n"]]
    for each in Appointment.objects.annotate(month=TruncMonth("begins")).values("month").annotate(n=Count("id"))
]
out["years"] = list(
    Patient.objects.annotate(year=ExtractYear("born")).values("year").annotate(n=Count("id")).values_list("year", "n")
)[:9]
out["dates"] = [str(day) for day in Patient.objects.filter(born__month=5, born__year__lt=1960).dates("born", "year")]
out["average"] = str(Patient.objects.aggregate(a=Avg("balance"))["a"])
out["windows"] = list(
    Appointment.objects.annotate(rank=Window(Rank(), partition_by="room", order_by=F("begins").desc()))
    .order_by("id")
    .values_list("rank", flat=True)
)[:20]
out["json"] = [
    Patient.objects.filter(**{key: value}).count()
    for key, value in (("allergies__to__0", "nuts"), ("allergies__deep__n__gte", 590), ("allergies__has_key", "to"))
]
out["regex"] = Patient.objects.filter(name__iregex=r"^p0[0-4]\d$").count()
out["like"] = Patient.objects.filter(Q(name__icontains="p01") | Q(name__endswith="99")).count()
out["subquery"] = Patient.objects.filter(appointments__in=Appointment.objects.filter(room="r1")).count()
out["exclude"] = Patient.objects.exclude(providers__name="Lee").count()
out["union"] = len(Patient.objects.filter(name="P001").union(Patient.objects.filter(name="P002")))

out["update"] = Patient.objects.filter(name__lt="P100").update(visits=F("visits") + 2, balance=F("balance") * 2)
for each in people[:50]:
    each.visits = each.pk
out["bulk_update"] = Patient.objects.bulk_update(people[:50], ["visits"])
Provider.objects.bulk_create(
    [Provider(name="Lee"), Provider(name="New")], update_conflicts=True, unique_fields=["name"], update_fields=["name"]
)
out["upsert"] = sorted(Provider.objects.values_list("name", flat=True))
out["get_or_create"] = [Provider.objects.get_or_create(name=name)[1] for name in ("Lee", "Newer")]
out["sums"] = [Patient.objects.aggregate(s=Sum("visits"))["s"], str(Patient.objects.aggregate(s=Sum("balance"))["s"])]
out["functions"] = list(
    Patient.objects.annotate(up=Upper(Coalesce("name", Value("")))).order_by("-id").values_list("up", flat=True)[:2]
)
photo = Patient.objects.order_by("id")[254].photo
out["bytes"] = list(bytes(photo))
with connection.cursor() as cursor:
    cursor.execute("SELECT count(*), '100%%' FROM clinic_patient WHERE name > %s", ["P300"])
    out["raw"] = list(cursor.fetchone())
    out["tables"] = sorted(connection.introspection.table_names(cursor))

try:
    with transaction.atomic():
        Patient.objects.all().delete()
        raise ZeroDivisionError
except ZeroDivisionError:
    out["undone"] = Patient.objects.count()
out["deleted"] = [str(each) for each in Patient.objects.filter(name__gte="P290").delete()]

dumped = io.StringIO()
call_command("dumpdata", "clinic", "auth.user", stdout=dumped, indent=1)
fixture = dumped.getvalue()
models = io.StringIO()
call_command("inspectdb", stdout=models)
out["inspectdb"] = models.getvalue()
call_command("flush", interactive=False, verbosity=0)
out["flushed"] = [Patient.objects.count(), User.objects.count()]
with open("fixture.json", "w") as file:
    file.write(fixture)
call_command("loaddata", "fixture.json", verbosity=0)
again = io.StringIO()
call_command("dumpdata", "clinic", "auth.user", stdout=again, indent=1)
out["loaded"] = again.getvalue() == fixture
out["next id"] = Patient.objects.create(name="after").pk
out["migrations"] = sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations())
json.dump(out, sys.stdout, indent=1)
