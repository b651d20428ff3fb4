"""What the Safe Harbor check knows beforehand: the eighteen identifiers, and names of fields that hold them.

45 CFR 164.514(b)(2)(i). The letters are the rule's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class Identifier(Enum):
    """The letter of the rule, and what is said of it."""

    NAME = ("A", "a name")
    PLACE = ("B", "a place smaller than a state")
    DATE = ("C", "a date more exact than its year")
    AGE = ("C", "an age above 89")
    PHONE = ("D", "a telephone number")
    FAX = ("E", "a fax number")
    EMAIL = ("F", "an email address")
    SSN = ("G", "a social security number")
    RECORD = ("H", "a medical record number")
    PLAN = ("I", "a health plan number")
    ACCOUNT = ("J", "an account number")
    LICENCE = ("K", "a number of a certificate or licence")
    VEHICLE = ("L", "an identifier of a vehicle")
    DEVICE = ("M", "an identifier of a device")
    URL = ("N", "a URL")
    ADDRESS = ("O", "an IP address")
    BIOMETRIC = ("P", "a biometric identifier")
    IMAGE = ("Q", "an image")
    OTHER = ("R", "another unique number or code")
    TEXT = ("R", "free text")
    """No machine can say that nobody is named in it."""

    @property
    def letter(self) -> str:
        return self.value[0]

    @property
    def words(self) -> str:
        return self.value[1]


SPARSE_ZIP3: Mapping[int, tuple[str, ...]] = {
    2000: (
        "036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878", "879", "884",
        "890", "893",
    ),
    2010: (
        "036", "059", "102", "203", "205", "369", "556", "692", "821", "823", "878", "879", "884", "893",
    ),
}  # fmt: skip
"""By the year of the census: areas of three digits where 20,000 people live, or fewer. They are written as 000.

All censuses listed here count: an area that was sparse in one of them is refused."""

FIELDS: Mapping[tuple[str, ...], Identifier] = {
    tuple(phrase.split()): identifier
    for identifier, phrases in {
        Identifier.NAME: (
            "given, family, surname, first name, last name, middle name, full name, nickname, maiden, alias, initials, "
            "firstname, lastname, fullname, middlename, username, signature, kin, guardian, spouse, employer"
        ),
        Identifier.PLACE: (
            "address, street, city, town, village, county, district, precinct, parish, borough, suburb, neighborhood, "
            "neighbourhood, municipality, commune, latitude, longitude, lat, lon, lng, geohash, geocode, coordinates, "
            "gps, geolocation, birthplace, place of birth, census tract, block group, residence"
        ),
        Identifier.PHONE: "phone, telephone, tel, mobile, cellphone, cell, pager, telecom",
        Identifier.FAX: "fax, telefax",
        Identifier.EMAIL: "email, mail, e mail",
        Identifier.SSN: "ssn, social security, national id, nin, nhs number, tax id, tin",
        Identifier.RECORD: (
            "mrn, medical record, record number, chart number, patient number, hospital number, file number, "
            "case number"
        ),
        Identifier.PLAN: (
            "beneficiary, member id, member number, subscriber, policy number, insurance number, insurance id, "
            "payer id, medicare, medicaid, health plan, group number"
        ),
        Identifier.ACCOUNT: "account, iban, card number, invoice, invoice number, claim number, bank",
        Identifier.LICENCE: "license, licence, certificate, passport, permit number",
        Identifier.VEHICLE: "vin, vehicle, plate, registration plate",
        Identifier.DEVICE: "serial, serial number, device id, device identifier, udi, imei, imsi, mac address",
        Identifier.URL: "url, website, homepage, web page, link",
        Identifier.ADDRESS: "ip, ip address, ipv4, ipv6, hostname",
        Identifier.BIOMETRIC: (
            "fingerprint, fingerprints, voiceprint, retina, iris scan, biometric, biometrics, faceprint"
        ),
        Identifier.IMAGE: "photo, photograph, picture, portrait, image, selfie, video",
        Identifier.OTHER: (
            "identifier, patient id, person id, subject id, individual id, patient, person, uuid, guid, external id, "
            "source id, natural key, barcode, token"
        ),
        Identifier.DATE: (
            "date, datetime, timestamp, dob, birthday, admitted, discharged, deceased, died, birth, death, admission, "
            "discharge, instant"
        ),
    }.items()
    for phrase in phrases.split(", ")
}  # fmt: skip
"""Words that stand one behind the other in a field's name, and what such a field holds."""

CONTAINERS = ("patient", "person", "birth", "death", "admission", "discharge")
"""Last words of fields that may hold other fields, which are judged by themselves."""

NAMES_OF_THINGS = (
    "brand", "class", "code", "column", "component", "drug", "event", "finding", "gene", "generic", "lab", "measure",
    "medication", "method", "panel", "procedure", "product", "resource", "specimen", "study", "substance", "system",
    "test", "unit", "variable",
)  # fmt: skip
"""What may stand before `name` in the name of a field that names nobody."""

TERMINOLOGIES = (
    "http://loinc.org",
    "http://snomed.info/",
    "http://hl7.org/",
    "http://terminology.hl7.org/",
    "http://unitsofmeasure.org",
    "http://www.nlm.nih.gov/research/umls/",
    "http://www.ama-assn.org/go/cpt",
    "urn:oid:2.16.840.1.113883.6.",
)
"""Beginnings of URLs that stand for a system of codes."""
