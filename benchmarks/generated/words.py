"""Words of made documents in four languages. Belongs here: captions, sentences, names; what they are about is `content`'s."""

import numpy as np

LANGUAGES = ("en", "en", "en", "de", "fr", "es")
FIGURE_WORDS = {
    "en": (("Figure", ":"), ("Figure", "."), ("Fig.", "."), ("Fig.", ":"), ("Figure", " |"), ("Figure", " –")),
    "de": (("Abbildung", ":"), ("Abb.", ":"), ("Abb.", "."), ("Bild", ":")),
    "fr": (("Figure", " –"), ("Fig.", "."), ("Figure", " :")),
    "es": (("Figura", "."), ("Figura", ":"), ("Fig.", ".")),
}
TABLE_WORDS = {"en": "Table", "de": "Tabelle", "fr": "Tableau", "es": "Tabla"}
_NOUNS = {
    "de": {
        "ship": "Schiff", "small boat": "Motorboot", "aircraft": "Flugzeug", "helicopter": "Hubschrauber", "vehicle": "Fahrzeug",
        "storage tank": "Öltank", "building": "Gebäude", "wind turbine": "Windrad", "bridge": "Brücke", "crane": "Kran",
        "dome building": "Kuppelbau",
    },
    "fr": {
        "ship": "navire", "small boat": "petit bateau", "aircraft": "avion", "helicopter": "hélicoptère", "vehicle": "véhicule",
        "storage tank": "réservoir", "building": "bâtiment", "wind turbine": "éolienne", "bridge": "pont", "crane": "grue",
        "dome building": "bâtiment à coupole",
    },
    "es": {
        "ship": "buque", "small boat": "lancha", "aircraft": "avión", "helicopter": "helicóptero", "vehicle": "vehículo",
        "storage tank": "depósito", "building": "edificio", "wind turbine": "aerogenerador", "bridge": "puente", "crane": "grúa",
        "dome building": "edificio con cúpula",
    },
}  # fmt: skip
_FORMS = {
    "de": ("{n} am Rand der Szene, aufgenommen im Frühjahr.", "Ausschnitt der Aufnahme: {n}.", "{n} aus dem Orbit gesehen, Schatten nach Norden"),
    "fr": ("{n} vu du satellite, au printemps.", "Extrait de la scène : {n} près de la côte.", "{n}, ombre portée vers le nord"),
    "es": ("{n} visto desde el satélite, en primavera.", "Recorte de la escena: {n} cerca de la costa.", "{n}, con la sombra hacia el norte"),
}  # fmt: skip
_MENTIONS = {
    "en": ("{label} shows the object in detail.", "As can be seen in {label}, the outline is distinct.", "Compare {label}.",
           "The difference is small ({label})."),
    "de": ("{label} zeigt das Objekt im Einzelnen.", "Der Umriss ist deutlich (vgl. {label})."),
    "fr": ("{label} montre l'objet en détail.", "Le contour est net (voir {label})."),
    "es": ("{label} muestra el objeto en detalle.", "El contorno es nítido (véase {label})."),
}  # fmt: skip
_FILLER = {
    "en": (
        "The scenes were acquired at different sun elevations, which changes the length of the shadows and the look of roofs.",
        "Small objects cover only a few pixels, so that their surroundings carry much of what an analyst goes by.",
        "Two analysts looked at each picture on its own; where they did not agree, a third one decided.",
        "Contrast depends on the season, and vegetation appears bright in the near infrared and dark in the visible bands.",
        "The area was visited several times during the year, and changes were noted in a log with their date.",
        "All pictures were stretched to eight bits for printing; measurements were made on the original numbers.",
        "Confusion is most frequent between objects of like size, and least where the outline is distinct.",
        "We did not use any additional data: neither maps nor photographs from the ground were at hand.",
        "The budget of the campaign allowed for twelve acquisitions, of which three were lost to clouds.",
        "A list of all sites with their coordinates, dates and view angles is kept beside this report.",
        "Where the angle of view exceeds thirty degrees, facades become visible and hide what stands behind them.",
        "Results of the second season confirm those of the first within the error of the measurement.",
    ),
    "de": (
        "Die Szenen wurden bei unterschiedlichem Sonnenstand aufgenommen, was die Länge der Schatten verändert.",
        "Kleine Objekte bedecken nur wenige Bildpunkte, daher trägt die Umgebung viel zur Deutung bei.",
        "Zwei Auswerter betrachteten jedes Bild für sich; bei Uneinigkeit entschied ein dritter.",
        "Das Gebiet wurde im Laufe des Jahres mehrmals besucht, und Änderungen wurden mit Datum vermerkt.",
        "Alle Bilder wurden für den Druck gestreckt; gemessen wurde an den ursprünglichen Werten.",
        "Die Ergebnisse der zweiten Saison bestätigen die der ersten im Rahmen des Messfehlers.",
    ),
    "fr": (
        "Les scènes ont été acquises sous différentes élévations du soleil, ce qui change la longueur des ombres.",
        "Les petits objets ne couvrent que quelques pixels, et leur environnement compte beaucoup pour l'analyse.",
        "Deux analystes ont regardé chaque image séparément; en cas de désaccord, un troisième a décidé.",
        "La zone a été visitée plusieurs fois dans l'année, et les changements ont été notés avec leur date.",
        "Les résultats de la seconde saison confirment ceux de la première dans la marge d'erreur.",
    ),
    "es": (
        "Las escenas se tomaron con distintas elevaciones del sol, lo que cambia la longitud de las sombras.",
        "Los objetos pequeños cubren pocos píxeles, de modo que su entorno aporta mucho a la interpretación.",
        "Dos analistas miraron cada imagen por separado; si no coincidían, decidía un tercero.",
        "La zona se visitó varias veces durante el año y los cambios se anotaron con su fecha.",
        "Los resultados de la segunda temporada confirman los de la primera dentro del error.",
    ),
}
_PANEL_EXTRA = {
    "en": (
        "before the storm",
        "after the storm",
        "at low tide",
        "in winter",
        "under haze",
        "with long shadows",
        "in the near infrared",
    ),
    "de": ("vor dem Sturm", "nach dem Sturm", "bei Ebbe", "im Winter", "bei Dunst"),
    "fr": ("avant la tempête", "après la tempête", "à marée basse", "en hiver", "sous la brume"),
    "es": ("antes de la tormenta", "después de la tormenta", "con marea baja", "en invierno"),
}
_SHARED = {
    "en": ("Objects of the survey seen on several dates", "Comparison of four acquisitions", "Examples of what was found in the western district"),
    "de": ("Vergleich mehrerer Aufnahmen des Gebiets", "Beispiele aus dem westlichen Abschnitt"),
    "fr": ("Comparaison de plusieurs acquisitions", "Exemples trouvés dans le secteur ouest"),
    "es": ("Comparación de varias adquisiciones", "Ejemplos hallados en el sector oeste"),
}  # fmt: skip
_TITLES = {
    "en": ("Monthly imagery report", "Notes on coastal activity", "Interpretation keys for high resolution imagery", "Survey of the western district"),
    "de": ("Monatsbericht der Bildauswertung", "Objekte entlang der Küste"),
    "fr": ("Rapport mensuel d'imagerie", "Objets le long de la côte"),
    "es": ("Informe mensual de imágenes", "Objetos a lo largo de la costa"),
}  # fmt: skip
_LONG_TAIL = {
    "en": (" The stretch was chosen for print, and the original numbers were kept for the measurements; north is up.",
           " Acquired in the second season at an angle of view of eighteen degrees, with the sun in the south-east."),
    "de": (" Die Streckung wurde für den Druck gewählt; Norden ist oben.",),
    "fr": (" L'étirement a été choisi pour l'impression; le nord est en haut.",),
    "es": (" El contraste se eligió para la impresión; el norte está arriba.",),
}  # fmt: skip


def pick(rng: np.random.Generator, options: "tuple[str, ...] | list[str]") -> str:
    """One of several strings."""
    return str(options[int(rng.integers(len(options)))])


def title(language: str, rng: np.random.Generator) -> str:
    """Title of a document."""
    return pick(rng, _TITLES[language])


def noun(class_name: str, language: str) -> str:
    """What an object is called."""
    return class_name if language == "en" else _NOUNS[language][class_name]


def foreign_caption(class_name: str, language: str, rng: np.random.Generator) -> str:
    """A caption in another language than English."""
    text = pick(rng, _FORMS[language]).format(n=noun(class_name, language))
    return text[0].upper() + text[1:]


def long_tail(language: str, rng: np.random.Generator) -> str:
    """A second sentence of a caption."""
    return pick(rng, _LONG_TAIL[language])


def paragraph(language: str, rng: np.random.Generator, mention: str = "", first: bool = False) -> str:
    """Running text; with the mention of a figure at its start or end."""
    lines = [_FILLER[language][int(index)] for index in rng.permutation(len(_FILLER[language]))[: int(rng.integers(2, 5))]]
    return " ".join([mention, *lines] if first else [*lines, mention]).strip()


def mention(label: str, language: str, rng: np.random.Generator) -> str:
    """A sentence that names a figure."""
    return pick(rng, _MENTIONS[language]).format(label=label)


def panel_words(class_name: str, language: str, rng: np.random.Generator) -> str:
    """Words of one panel."""
    return f"{noun(class_name, language)} {pick(rng, _PANEL_EXTRA[language])}"


def shared_words(language: str, rng: np.random.Generator) -> str:
    """What all panels have in common."""
    return pick(rng, _SHARED[language])
