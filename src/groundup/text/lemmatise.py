"""The dictionary form of an English word: "mice", "bought" and "happier" as "mouse", "buy" and "happy".

Irregular forms are listed, regular endings are taken off by rules that go by the look of the word, and words that only look inflected
("during", "always") are listed too. There is no dictionary behind it, so no rule can know that "bathing" comes of "bathe" and not of "bath"
(how often that goes wrong: tests/unit/test_text_lemmatise.py). Left out: what part of speech a word is in its sentence ("saw" is always
"see"), comparisons except the irregular ones and those in -ier and -iest.
"""

from __future__ import annotations

from itertools import pairwise
from types import MappingProxyType

_IRREGULAR = """
be: am is are was were been being | have: has had having | do: does did done | go: goes went gone | say: said | make: made | take: took taken
come: came | see: saw seen | know: knew known | get: got gotten | give: gave given | find: found | think: thought | tell: told
become: became | show: shown | leave: left | feel: felt | bring: brought | begin: began begun | keep: kept | hold: held | write: wrote written
stand: stood | hear: heard | mean: meant | meet: met | run: ran | pay: paid | sit: sat | speak: spoke spoken | lie: lay lain lying
lead: led | grow: grew grown | lose: lost | fall: fell fallen | send: sent | build: built | understand: understood | draw: drew drawn
break: broke broken | spend: spent | rise: rose risen | drive: drove driven | buy: bought | wear: wore worn | choose: chose chosen
seek: sought | throw: threw thrown | catch: caught | deal: dealt | win: won | forget: forgot forgotten | sell: sold | fight: fought
teach: taught | eat: ate eaten | sing: sang sung | strike: struck | hang: hung | shake: shook shaken | ride: rode ridden
feed: fed | shoot: shot | drink: drank drunk | hide: hid hidden | swim: swam swum | fly: flew flown | sleep: slept | steal: stole stolen
bend: bent | lend: lent | swing: swung | sweep: swept | blow: blew blown | tear: tore torn | wake: woke woken | bite: bit bitten
ring: rang rung | spring: sprang sprung | stick: stuck | swear: swore sworn | bind: bound | die: dying | tie: tying | freeze: froze frozen
child: children | man: men | woman: women | foot: feet | tooth: teeth | goose: geese | mouse: mice | person: people | ox: oxen
analysis: analyses | crisis: crises | basis: bases | thesis: theses | hypothesis: hypotheses | criterion: criteria
phenomenon: phenomena | index: indices | matrix: matrices | vertex: vertices | medium: media | datum: data
wife: wives | knife: knives | life: lives | half: halves | wolf: wolves | shelf: shelves | self: selves | thief: thieves | leaf: leaves
loaf: loaves | calf: calves | good: better best | bad: worse worst | far: further furthest farther farthest | little: less least
hero: heroes | potato: potatoes | tomato: tomatoes | echo: echoes | shoe: shoes | movie: movies | series: series | species: species
news: news | lens: lenses | bus: buses | quiz: quizzes | gas: gases | create: created creating
"""
IRREGULAR = MappingProxyType(
    {
        form: lemma.strip()
        for entry in _IRREGULAR.replace("\n", "|").split("|")
        if entry.strip()
        for lemma, _, forms in [entry.partition(":")]
        for form in forms.split()
    }
)

_UNINFLECTED = """
always as his its this thus us yes perhaps various was has does is lens gas bus plus status virus focus bonus campus census chaos bias atlas
need speed seed indeed feed bleed breed exceed proceed succeed hundred sacred naked red bed sled shed wed fed led embed
king ring sing thing bring spring string wing during morning evening nothing something anything everything ceiling wedding sibling darling
sting fling cling swing pudding lightning sterling
series species news mathematics physics politics economics ethics athletics gymnastics headquarters
soldier barrier carrier frontier premier pier tier cashier courier
"""
UNINFLECTED = frozenset(_UNINFLECTED.split())
_VOWELS = "aeiou"
# What a silent e leaves behind: creat(ed), lov(ing), realiz(ed), plac(ed), charg(ed), continu(ed), handl(ed), sens(ed), caus(ed) ...
_AFTER_SILENT_E = (
    "at", "v", "z", "c", "rg", "dg", "ang", "u", "bl", "dl", "gl", "pl", "tl", "fl", "kl", "ens", "uls", "ers", "urs", "eas", "aus", "ois",
    "ais", "oos", "quir", "pir", "tir", "mir", "sum", "as",
)  # fmt: skip
# ... but treat(ed), float(ing), buzz(ed).
_WHOLE_STEM = ("eat", "oat", "zz")
# One vowel and one consonant mostly lost an e (hop(ing); "hopping" keeps its double), unless the last syllable is unstressed: open(ed).
_UNSTRESSED = (
    "er", "en", "on", "it", "or", "om", "el", "al", "il", "op", "ow", "aw", "ew", "ay", "oy", "ey", "an", "ar", "ip", "ish", "in",
    "et", "ix", "ax", "ex", "ox",
)  # fmt: skip


def lemma(word: str) -> str:
    """The dictionary form of one word, in lower case."""
    word = word.lower()
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word in UNINFLECTED or len(word) <= 3 or not word.isalpha():
        return word
    if word.endswith(("ier", "iest")) and len(word) > 5:
        return word[: word.rindex("ie")] + "y"
    if word.endswith("s"):
        return _without_s(word)
    if word.endswith("ied"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    for ending in ("ed", "ing"):
        before = word.removesuffix(ending)
        if before != word and len(before) >= 2 and any(letter in "aeiouy" for letter in before):
            return _verb(before)
    return word


def _without_s(word: str) -> str:
    """Plurals, and verbs of the third person."""
    if word.endswith(("ss", "us", "is", "ous")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith(("sses", "xes", "ches", "shes", "zzes")):
        return word[:-2]
    return word[:-1]


def _verb(before: str) -> str:
    """What stood before -ed or -ing, without its doubled consonant or with its silent e."""
    if before.endswith(_WHOLE_STEM):
        return before
    if before[-1] == before[-2]:
        return before if before[-1] in "lsez" or before[-1] in _VOWELS else before[:-1]
    if before.endswith(_AFTER_SILENT_E) or (before[-1] == "e" and before[-2] not in _VOWELS):  # agre(ed)
        return before + "e"
    ends_cvc = before[-1] not in _VOWELS + "wxy" and before[-2] in _VOWELS + "y" and before[-3:-2] not in tuple(_VOWELS)
    syllables = sum(a not in _VOWELS and b in _VOWELS for a, b in pairwise(" " + before))
    if ends_cvc and not (syllables > 1 and before.endswith(_UNSTRESSED)):
        return before + "e"
    return before
