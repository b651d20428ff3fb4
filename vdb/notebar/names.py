"""Words for the synthetic clinic. All people are invented."""

GIVEN_NAMES = (
    "Amelia", "Arthur", "Beatrix", "Bruno", "Chiara", "Cormac", "Dalia", "Desmond", "Elif", "Emeka", "Farah", "Felix",
    "Greta", "Hamish", "Ines", "Ivo", "Jasmin", "Jonas", "Keiko", "Kofi", "Leila", "Lorenzo", "Mairead", "Mateus",
    "Nadia", "Nils", "Odette", "Omar", "Priya", "Quentin", "Rosalind", "Ruben", "Saoirse", "Tomasz", "Uma", "Viktor",
    "Wanda", "Yusuf", "Zelda", "Zoltan",
)  # fmt: skip

FAMILY_NAMES = (
    "Abernathy", "Almeida", "Bergstrom", "Blackwood", "Castellano", "Chukwu", "Dalgaard", "Delacroix", "Eastwick",
    "Eriksen", "Fairweather", "Ferreira", "Gallagher", "Gundersen", "Hawthorne", "Hashimoto", "Ibrahim", "Ivanova",
    "Jankowski", "Kavanagh", "Kowalczyk", "Lindqvist", "Lombardi", "MacIntyre", "Mbeki", "Nakamura", "Novak",
    "Okonkwo", "Oyelaran", "Papadakis", "Petrov", "Quigley", "Rasmussen", "Rosenthal", "Silvestri", "Sundaram",
    "Thistlewood", "Underhill", "Vasquez", "Whitlock", "Yamada", "Zielinski",
)  # fmt: skip

STREETS = ("Acacia Avenue", "Bridge Street", "Chapel Lane", "Dockside Road", "Elm Grove", "Foundry Hill", "Mill Row")
CITIES = (("Kingsbridge", "3182"), ("Port Alder", "3195"), ("Fernleigh", "3121"), ("Stony Creek", "3206"))

PROFESSIONS = ("general practitioner", "nurse practitioner", "physiotherapist", "paediatrician", "psychologist")

REASONS = (
    "annual check-up", "blood pressure review", "persistent cough", "lower back pain", "travel vaccination",
    "repeat prescription", "skin rash", "follow-up after surgery", "sleep problems", "migraine", "sprained ankle",
    "antenatal visit", "diabetes review", "ear infection", "anxiety",
)  # fmt: skip

FINDINGS = (
    "Vital signs within normal limits.", "Blood pressure 138/86, repeated 132/84.", "Chest clear, no wheeze.",
    "Tender over the lumbar muscles, no red flags.", "Mild erythema, no discharge.", "Afebrile, well hydrated.",
    "Range of motion improving.", "Reports better sleep since the last visit.", "No new symptoms.",
)  # fmt: skip

PLANS = (
    "Review in two weeks.", "Continue present treatment.", "Bloods requested, results by phone.",
    "Referred to physiotherapy.", "Prescribed a short course, explained side effects.", "Return if it gets worse.",
    "Home exercises shown.", "No further action needed.",
)  # fmt: skip

AMENDMENTS = ("dose corrected", "result added", "typing error", "history completed")
CANCELLATIONS = ("patient unwell", "transport", "feels better", "work", "no reason given")
