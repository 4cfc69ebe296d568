"""Made English sentences with their French: a small grammar in which the two languages differ as they do in earnest.

Gender and number agree in French where English shows neither; most adjectives follow their noun; "not" closes around the verb; an
object pronoun stands before it; le, de, ne and ce lose their vowel before another, and à le, de le, à les, de les melt. Every sentence
has exactly one right translation, so a wrong one shows which rule was not learned. Left out: tenses, questions, relative clauses.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

_VOWELS = "aeiouhéèêâîô"
# (English singular, plural, French singular, plural, gender)
_PEOPLE = [
    ("man", "men", "homme", "hommes", "m"),
    ("woman", "women", "femme", "femmes", "f"),
    ("boy", "boys", "garçon", "garçons", "m"),
    ("girl", "girls", "fille", "filles", "f"),
    ("child", "children", "enfant", "enfants", "m"),
    ("worker", "workers", "ouvrier", "ouvriers", "m"),
    ("singer", "singers", "chanteuse", "chanteuses", "f"),
    ("friend", "friends", "ami", "amis", "m"),
    ("nurse", "nurses", "infirmière", "infirmières", "f"),
    ("dog", "dogs", "chien", "chiens", "m"),
    ("cat", "cats", "chat", "chats", "m"),
    ("horse", "horses", "cheval", "chevaux", "m"),
]
_THINGS = [
    ("car", "cars", "voiture", "voitures", "f"),
    ("bicycle", "bicycles", "vélo", "vélos", "m"),
    ("house", "houses", "maison", "maisons", "f"),
    ("book", "books", "livre", "livres", "m"),
    ("table", "tables", "table", "tables", "f"),
    ("apple", "apples", "pomme", "pommes", "f"),
    ("tree", "trees", "arbre", "arbres", "m"),
    ("boat", "boats", "bateau", "bateaux", "m"),
    ("hat", "hats", "chapeau", "chapeaux", "m"),
    ("shirt", "shirts", "chemise", "chemises", "f"),
    ("church", "churches", "église", "églises", "f"),
    ("picture", "pictures", "image", "images", "f"),
]
_PLACES = [
    ("park", "parks", "parc", "parcs", "m"),
    ("street", "streets", "rue", "rues", "f"),
    ("school", "schools", "école", "écoles", "f"),
    ("garden", "gardens", "jardin", "jardins", "m"),
    ("beach", "beaches", "plage", "plages", "f"),
    ("market", "markets", "marché", "marchés", "m"),
]
# (English, French by gender and number: ms, fs, mp, fp, before a vowel, stands before the noun)
_ADJECTIVES = [
    ("red", "rouge", "rouge", "rouges", "rouges", "", False),
    ("green", "vert", "verte", "verts", "vertes", "", False),
    ("black", "noir", "noire", "noirs", "noires", "", False),
    ("white", "blanc", "blanche", "blancs", "blanches", "", False),
    ("tired", "fatigué", "fatiguée", "fatigués", "fatiguées", "", False),
    ("happy", "heureux", "heureuse", "heureux", "heureuses", "", False),
    ("small", "petit", "petite", "petits", "petites", "", True),
    ("big", "grand", "grande", "grands", "grandes", "", True),
    ("young", "jeune", "jeune", "jeunes", "jeunes", "", True),
    ("old", "vieux", "vieille", "vieux", "vieilles", "vieil", True),
    ("beautiful", "beau", "belle", "beaux", "belles", "bel", True),
]
# (English singular, plural, French singular, plural)
_TRANSITIVE = [
    ("sees", "see", "voit", "voient"),
    ("watches", "watch", "regarde", "regardent"),
    ("likes", "like", "aime", "aiment"),
    ("buys", "buy", "achète", "achètent"),
    ("looks for", "look for", "cherche", "cherchent"),
    ("draws", "draw", "dessine", "dessinent"),
    ("carries", "carry", "porte", "portent"),
    ("finds", "find", "trouve", "trouvent"),
]
_INTRANSITIVE = [
    ("sleeps", "sleep", "dort", "dorment"),
    ("sings", "sing", "chante", "chantent"),
    ("runs", "run", "court", "courent"),
    ("waits", "wait", "attend", "attendent"),
    ("plays", "play", "joue", "jouent"),
    ("arrives", "arrive", "arrive", "arrivent"),
]
_PREPOSITIONS = [("in", "dans"), ("in front of", "devant"), ("behind", "derrière"), ("near", "près de"), ("at", "à")]
_TIMES = [
    ("today", "aujourd'hui"),
    ("now", "maintenant"),
    ("every day", "tous les jours"),
    ("this morning", "ce matin"),
]
_DETERMINERS = ("a", "the", "this", "my", "her", "two", "many")
_PLURAL = ("the", "two", "many", "my", "these")


@dataclass(frozen=True, slots=True)
class _Phrase:
    english: str
    french: str
    plural: bool


def made_translations(num_pairs: int, seed: int) -> Iterator[tuple[str, str]]:
    """(English, French), no English sentence twice."""
    rng = random.Random(seed)
    seen: set[str] = set()
    while len(seen) < num_pairs:
        english, french = _sentence(rng)
        if english not in seen:
            seen.add(english)
            yield english, french


def _sentence(rng: random.Random) -> tuple[str, str]:
    subject = _noun_phrase(rng, _PEOPLE)
    negated, shape = rng.random() < 0.25, rng.random()
    en, fr = [subject.english], [subject.french]
    if shape < 0.55:
        verb = rng.choice(_TRANSITIVE)
        thing = _noun_phrase(rng, _THINGS + _PEOPLE)
        en += [_english_verb(verb, subject.plural, negated), thing.english]
        fr += [_french_verb(verb, subject.plural, negated, ""), thing.french]
    elif shape < 0.75:
        verb = rng.choice(_TRANSITIVE)
        pronoun = rng.choice([("him", "le"), ("her", "la"), ("them", "les")])
        en += [_english_verb(verb, subject.plural, negated), pronoun[0]]
        fr.append(_french_verb(verb, subject.plural, negated, pronoun[1]))
    else:
        verb = rng.choice(_INTRANSITIVE)
        en.append(_english_verb(verb, subject.plural, negated))
        fr.append(_french_verb(verb, subject.plural, negated, ""))
    if shape >= 0.75 or rng.random() < 0.4:
        english, french = rng.choice(_PREPOSITIONS)
        place = _noun_phrase(rng, _PLACES, plain=english == "at")
        en += [english, place.english]
        fr.append(_melted(french, place.french))
    if rng.random() < 0.3:
        time = rng.choice(_TIMES)
        en.append(time[0])
        fr.append(time[1])
    return _written(en), _written(fr)


def _noun_phrase(rng: random.Random, nouns: list[tuple[str, str, str, str, str]], *, plain: bool = False) -> _Phrase:
    en_one, en_many, fr_one, fr_many, gender = rng.choice(nouns)
    determiner = "the" if plain else rng.choice(_DETERMINERS)
    plural = determiner in ("two", "many") or (determiner in _PLURAL and not plain and rng.random() < 0.3)
    english, french = (en_many, fr_many) if plural else (en_one, fr_one)
    adjectives = [] if plain or rng.random() < 0.5 else [rng.choice(_ADJECTIVES)]
    for word, ms, fs, mp, fp, before_vowel, first in adjectives:
        form = {"m": (ms, mp), "f": (fs, fp)}[gender][plural]
        if first and not plural and gender == "m" and before_vowel and _begins_with_vowel(french):
            form = before_vowel
        english = f"{word} {english}"
        french = f"{form} {french}" if first else f"{french} {form}"
    return _Phrase(
        f"{_an(determiner, english)} {english}", _french_determiner(determiner, french, gender, plural), plural
    )


def _an(determiner: str, following: str) -> str:
    return "an" if determiner == "a" and following[0] in "aeiou" else determiner


def _french_determiner(determiner: str, following: str, gender: str, plural: bool) -> str:
    vowel = _begins_with_vowel(following)
    match determiner:
        case "two":
            return f"deux {following}"
        case "many":
            return f"beaucoup d'{following}" if vowel else f"beaucoup de {following}"
        case "the" if plural:
            return f"les {following}"
        case "the":
            return f"l'{following}" if vowel else f"{'le' if gender == 'm' else 'la'} {following}"
        case "a":
            return f"{'un' if gender == 'm' else 'une'} {following}"
        case "this":
            return f"{'cette' if gender == 'f' else 'cet' if vowel else 'ce'} {following}"
    owner = "m" if determiner == "my" else "s"
    if plural:
        return f"{owner}es {following}"
    return f"{owner}{'on' if gender == 'm' or vowel else 'a'} {following}"


def _english_verb(verb: tuple[str, str, str, str], plural: bool, negated: bool) -> str:
    if negated:
        return f"{'do' if plural else 'does'} not {verb[1]}"
    return verb[1] if plural else verb[0]


def _french_verb(verb: tuple[str, str, str, str], plural: bool, negated: bool, pronoun: str) -> str:
    form = verb[3] if plural else verb[2]
    if pronoun:
        form = f"l'{form}" if pronoun != "les" and _begins_with_vowel(form) else f"{pronoun} {form}"
    if negated:
        form = f"{'n' + chr(39) if _begins_with_vowel(form) else 'ne '}{form} pas"
    return form


def _melted(preposition: str, phrase: str) -> str:
    """près de + le parc = près du parc; à + les = aux."""
    head, _, last = preposition.rpartition(" ")
    if last in ("de", "à"):
        for article, form in (("le ", {"de": "du ", "à": "au "}), ("les ", {"de": "des ", "à": "aux "})):
            if phrase.startswith(article):
                return f"{head} {form[last]}{phrase[len(article) :]}".strip()
        if last == "de" and _begins_with_vowel(phrase):
            return f"{head} d'{phrase}"
    return f"{preposition} {phrase}"


def _begins_with_vowel(word: str) -> bool:
    return word[0] in _VOWELS


def _written(parts: list[str]) -> str:
    text = " ".join(parts)
    return f"{text[0].upper()}{text[1:]}."
