"""What `manage.py test` runs: the test database, TestCase's rollback, admin pages, auth, transactions."""

import datetime

from django.contrib.auth.models import Group, Permission, User
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.test import TestCase, TransactionTestCase

from clinic.models import Appointment, Patient, Provider

DAY = datetime.datetime(2026, 3, 1, 9, tzinfo=datetime.UTC)


class Rollback(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.ada = Patient.objects.create(name="Ada", born=datetime.date(1980, 2, 1))

    def test_one(self):
        Patient.objects.create(name="Bob")
        self.assertEqual(Patient.objects.count(), 2)

    def test_two(self):
        self.assertEqual([each.name for each in Patient.objects.all()], ["Ada"])

    def test_savepoints(self):
        with transaction.atomic():
            Patient.objects.create(name="kept")
            with self.assertRaises(IntegrityError), transaction.atomic():
                Patient.objects.create(name="undone")
                Patient.objects.create(name="ADA", born=datetime.date(1980, 2, 1))
        self.assertEqual(sorted(Patient.objects.values_list("name", flat=True)), ["Ada", "kept"])

    def test_constraints(self):
        lee = Provider.objects.create(name="Dr. Lee")
        given = {"patient": self.ada, "provider": lee, "begins": DAY, "lasts": datetime.timedelta(minutes=20)}
        with self.assertRaisesMessage(IntegrityError, "nobody_in_the_cellar"), transaction.atomic():
            Appointment.objects.create(**given, room="cellar")
        appointment = Appointment.objects.create(**given, room="r1")
        appointment.refresh_from_db()
        self.assertEqual(appointment.door, "R1")
        with self.assertRaises(ProtectedError):
            lee.delete()
        with self.assertRaises(IntegrityError), transaction.atomic():
            Provider.objects.create(name="Dr. Lee")
        self.ada.delete()
        self.assertEqual(Appointment.objects.count(), 0)

    def test_foreign_keys_are_checked_at_the_end(self):
        with self.assertRaises(IntegrityError), transaction.atomic():
            Appointment.objects.create(
                patient=self.ada, provider_id=99, begins=DAY, lasts=datetime.timedelta(minutes=1)
            )
            transaction.get_connection().check_constraints()


class Committed(TransactionTestCase):
    def test_what_is_rolled_back_leaves_nothing(self):
        told = []
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            transaction.on_commit(lambda: told.append("no"))
            Patient.objects.create(name="undone")
            raise ZeroDivisionError
        with transaction.atomic():
            transaction.on_commit(lambda: told.append("yes"))
            Patient.objects.create(name="kept")
        self.assertEqual(told, ["yes"])
        self.assertEqual(Patient.objects.get().name, "kept")

    def test_tables_are_flushed_between_tests(self):
        self.assertEqual(Patient.objects.count(), 0)


class Pages(TestCase):
    @classmethod
    def setUpTestData(cls):
        cls.root = User.objects.create_superuser("root", password="secret")
        cls.ada = Patient.objects.create(name="Ada", born=datetime.date(1980, 2, 1))
        cls.lee = Provider.objects.create(name="Dr. Lee")

    def test_login_and_sessions(self):
        page = self.client.get("/admin/")
        self.assertEqual((page.status_code, page.url), (302, "/admin/login/?next=/admin/"))
        self.assertContains(self.client.post("/admin/login/", {"username": "root", "password": "wrong"}), "correct")
        page = self.client.post("/admin/login/?next=/admin/", {"username": "root", "password": "secret"}, follow=True)
        self.assertContains(page, "Site administration")
        self.assertEqual(self.client.session["_auth_user_id"], str(self.root.pk))
        self.client.post("/admin/logout/")
        self.assertNotIn("_auth_user_id", self.client.session)

    def test_patients(self):
        self.client.force_login(self.root)
        self.assertContains(self.client.get("/admin/clinic/patient/?q=ad&born__year=1980"), "1 patient")
        form = {"name": "Bob", "born": "1990-05-05", "balance": "3.50", "allergies": '["nuts"]', "visits": 1}
        inline = {
            "appointments-TOTAL_FORMS": 1,
            "appointments-INITIAL_FORMS": 0,
            "appointments-0-provider": self.lee.pk,
            "appointments-0-begins_0": "2026-03-01",
            "appointments-0-begins_1": "09:00:00",
            "appointments-0-lasts": "00:20:00",
        }
        page = self.client.post("/admin/clinic/patient/add/", form | inline, follow=True)
        self.assertContains(page, "was added successfully")
        bob = Patient.objects.get(name="Bob")
        self.assertEqual((bob.allergies, str(bob.balance), bob.appointments.count()), (["nuts"], "3.50", 1))
        self.assertContains(self.client.get(f"/admin/clinic/patient/{bob.pk}/change/"), "00:20:00")
        self.assertContains(self.client.get(f"/admin/clinic/patient/{bob.pk}/history/"), "Added")
        page = self.client.post(f"/admin/clinic/patient/{bob.pk}/delete/", {"post": "yes"}, follow=True)
        self.assertContains(page, "was deleted successfully")

    def test_permissions(self):
        nurse = User.objects.create_user("nurse", password="secret", is_staff=True)
        nurses = Group.objects.create(name="nurses")
        nurses.permissions.add(Permission.objects.get(codename="view_patient"))
        nurse.groups.add(nurses)
        self.assertTrue(self.client.login(username="nurse", password="secret"))
        self.assertEqual(self.client.get("/admin/clinic/patient/").status_code, 200)
        self.assertEqual(self.client.get("/admin/clinic/patient/add/").status_code, 403)
        nurse = User.objects.get(pk=nurse.pk)
        self.assertEqual(nurse.get_all_permissions(), {"clinic.view_patient"})
