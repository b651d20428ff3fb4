"""A clinic's patients, providers and appointments."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Upper


class Patient(models.Model):
    name = models.CharField(max_length=80)
    born = models.DateField(null=True)
    balance = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    allergies = models.JSONField(default=list)
    photo = models.BinaryField(null=True)
    visits = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(Lower("name"), "born", name="one_of_a_name_and_day")]

    def __str__(self):
        return self.name


class Provider(models.Model):
    name = models.CharField(max_length=80, unique=True)
    patients = models.ManyToManyField(Patient, related_name="providers")

    def __str__(self):
        return self.name


class Appointment(models.Model):
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="appointments")
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT)
    begins = models.DateTimeField(db_index=True)
    lasts = models.DurationField()
    room = models.SlugField(blank=True)
    door = models.GeneratedField(
        expression=Upper("room"), output_field=models.CharField(max_length=50), db_persist=True
    )

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(room="cellar"), name="nobody_in_the_cellar")]
        indexes = [models.Index(fields=["provider", "-begins"], name="newest_of_a_provider")]
        ordering = ["begins"]
