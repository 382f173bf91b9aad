"""The vocabulary: which classes there are, how they are asked for, and what counts as background.

Belongs here: reading the file, singular and plural, resolving label names. Does not belong here: vectors (`prototypes`).

```yaml
target_precision: 0.8
classes:
  - {name: ship, prompts: [a ship on water], synonyms: [vessel, boat], coco_id: 1}
background: [water, bare ground]
```
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from ovd_platform.errors import DataError, InputError

DEFAULT_BACKGROUND = ("water", "bare ground", "vegetation", "forest", "road", "roof of a building", "shadow", "cloud")
_INVARIANT = {
    "aircraft",
    "hovercraft",
    "watercraft",
    "spacecraft",
    "bus",
    "gas",
    "series",
    "species",
    "chassis",
    "debris",
    "canvas",
    "glass",
}
_IRREGULAR = {
    "buses": "bus",
    "quays": "quay",
    "men": "man",
    "people": "person",
    "axes": "axis",
    "wharves": "wharf",
    "leaves": "leaf",
}


def singular(words: str) -> str:
    """Lower-case name with its last word in the singular: ``Storage_Tanks`` -> ``storage tank``; idempotent."""
    parts = re.sub(r"[\s_]+", " ", words).strip().lower().split(" ")
    return " ".join([*parts[:-1], _singular_word(parts[-1])])


def plural(words: str) -> str:
    """Lower-case name with its last word in the plural: ``storage tank`` -> ``storage tanks``."""
    name = singular(words)
    head, _, last = name.rpartition(" ")
    known = {value: key for key, value in _IRREGULAR.items()}
    if last in known:
        last = known[last]
    elif last in _INVARIANT or not last:
        pass
    elif re.search(r"[^aeiou]y$", last):
        last = last[:-1] + "ies"
    elif re.search(r"(s|x|z|ch|sh)$", last):
        last += "es"
    else:
        last += "s"
    return f"{head} {last}".strip()


def _singular_word(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _INVARIANT or len(word) < 4 or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(ss|sh|ch|x|zz)es$", word):
        return word[:-2]
    return word[:-1] if word.endswith("s") else word


@dataclass(frozen=True, slots=True)
class VocabularyClass:
    """One class.

    Attributes:
        name: Singular, lower case.
        prompts: Phrases whose vectors stand for the class; the name where none were given.
        synonyms: Other names that labels may carry; singular, lower case.
        coco_id: Category id in COCO exports.
    """

    name: str
    prompts: tuple[str, ...]
    synonyms: tuple[str, ...]
    coco_id: int


@dataclass(frozen=True)
class Vocabulary:
    """Classes and background, checked when made.

    Attributes:
        classes: In the order of the file; none where nobody named any yet: then there is search but no detection.
        background: Phrases for what is no object.
        target_precision: What a class's threshold aims at, (0, 1).
    """

    classes: tuple[VocabularyClass, ...]
    background: tuple[str, ...] = DEFAULT_BACKGROUND
    target_precision: float = 0.8
    _names: dict[str, str] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.target_precision < 1:
            raise InputError(f"Cannot make a vocabulary: expected a target precision in (0, 1), got {self.target_precision}.")
        for entry in self.classes:
            for name in {entry.name, *entry.synonyms}:
                other = self._names.setdefault(name, entry.name)
                if other != entry.name:
                    raise InputError(
                        f"Cannot make a vocabulary: expected each name once, got {name!r} in {other!r} and {entry.name!r}."
                    )
        ids = [entry.coco_id for entry in self.classes]
        if len(set(ids)) != len(ids) or len({entry.name for entry in self.classes}) != len(ids):
            raise InputError(
                f"Cannot make a vocabulary: expected distinct names and coco_ids, got "
                f"{list(zip(self.names, ids, strict=True))}."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in order."""
        return tuple(entry.name for entry in self.classes)

    @cached_property
    def version(self) -> str:
        """Hash of everything in it, 16 hex digits."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def resolve(self, label: str) -> str | None:
        """Name of the class a label means (case, underscores, plurals and synonyms folded), or None if it is not in here."""
        return self._names.get(singular(label))

    def to_dict(self) -> dict[str, Any]:
        """Plain mapping in the layout of the file; `vocabulary_from_dict` is its inverse."""
        classes = [
            {"name": entry.name, "prompts": list(entry.prompts), "synonyms": list(entry.synonyms), "coco_id": entry.coco_id}
            for entry in self.classes
        ]
        return {"classes": classes, "background": list(self.background), "target_precision": self.target_precision}


def load_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary file.

    Raises:
        DataError: If the file is missing, no YAML, or not a vocabulary.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(
            f"Cannot read the vocabulary {path}: expected a YAML file, got {error}. Check the path and the file."
        ) from error
    try:
        return vocabulary_from_dict(values)
    except InputError as error:
        raise DataError(f"Cannot read the vocabulary {path}: {error}") from error


def save_vocabulary(vocabulary: Vocabulary, path: Path) -> Path:
    """Write a vocabulary file; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(vocabulary.to_dict(), sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def vocabulary_from_dict(values: Any) -> Vocabulary:
    """Make a vocabulary from the layout of the file; a class may be given as its bare name.

    Raises:
        InputError: If a key is unknown or a value has the wrong kind.
    """
    if not isinstance(values, Mapping) or not isinstance(values.get("classes"), list):
        raise InputError(
            "Cannot make a vocabulary: expected a mapping with a list `classes`, got something else. See the module's example."
        )
    _check_keys(values, {"classes", "background", "target_precision"}, "the vocabulary")
    raw = [{"name": item} if isinstance(item, str) else item for item in values["classes"]]
    taken = {item["coco_id"] for item in raw if isinstance(item, Mapping) and isinstance(item.get("coco_id"), int)}
    free = (number for number in range(1, len(raw) + len(taken) + 1) if number not in taken)
    classes = []
    for item in raw:
        if not isinstance(item, Mapping) or not isinstance(item.get("name"), str) or not item["name"].strip():
            raise InputError(f"Cannot make a vocabulary: expected each class with a name, got {item!r}. Write `- name: ship`.")
        _check_keys(item, {"name", "prompts", "synonyms", "coco_id"}, f"class {item['name']!r}")
        coco_id = item["coco_id"] if item.get("coco_id") is not None else next(free)
        if not isinstance(coco_id, int) or isinstance(coco_id, bool):
            raise InputError(
                f"Cannot make a vocabulary: expected a whole number as coco_id of {item['name']!r}, got {coco_id!r}."
            )
        name = singular(item["name"])
        synonyms = tuple(dict.fromkeys(singular(word) for word in _phrases(item, "synonyms") if singular(word) != name))
        classes.append(VocabularyClass(name, _phrases(item, "prompts") or (name, *synonyms), synonyms, coco_id))
    background = _phrases(values, "background") or DEFAULT_BACKGROUND
    target = values.get("target_precision", 0.8)
    if not isinstance(target, int | float) or isinstance(target, bool):
        raise InputError(f"Cannot make a vocabulary: expected a number as target_precision, got {target!r}.")
    return Vocabulary(tuple(classes), background, float(target))


def _check_keys(values: Mapping[str, Any], known: set[str], what: str) -> None:
    unknown = {str(key) for key in values} - known
    if unknown:
        raise InputError(
            f"Cannot make a vocabulary: expected {sorted(known)} in {what}, got {sorted(unknown)} too. Remove or rename them."
        )


def _phrases(values: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = values.get(key) or []
    if not isinstance(found, list) or not all(isinstance(phrase, str) and phrase.strip() for phrase in found):
        raise InputError(f"Cannot make a vocabulary: expected a list of words as {key}, got {found!r}.")
    return tuple(phrase.strip() for phrase in found)
