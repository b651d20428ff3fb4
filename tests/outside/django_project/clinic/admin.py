from django.contrib import admin

from clinic.models import Appointment, Patient, Provider


class Appointments(admin.TabularInline):
    model = Appointment
    extra = 0


@admin.register(Patient)
class PatientAdmin(admin.ModelAdmin):
    list_display = ["name", "born", "balance"]
    search_fields = ["name"]
    date_hierarchy = "born"
    list_filter = ["providers"]
    inlines = [Appointments]


admin.site.register(Provider)
