"""Plain English words for problems: things with a colour, a kind and a size of name, and people."""

from __future__ import annotations

FRUIT = ("apple", "pear", "plum", "cherry", "grape", "lemon", "melon", "peach", "mango", "banana")
ANIMALS = ("cat", "dog", "horse", "rabbit", "sheep", "tiger", "eagle", "salmon", "spider", "otter")
TOOLS = ("hammer", "saw", "drill", "spade", "ladder", "brush", "pliers", "chisel", "wrench", "file")
CLOTHES = ("coat", "scarf", "glove", "shirt", "sock", "jumper", "skirt", "boot", "belt", "hat")
GROUPS = {"fruits": FRUIT, "animals": ANIMALS, "tools": TOOLS, "clothes": CLOTHES}
COLOURS = ("red", "blue", "green", "yellow", "black", "white")
WORDS = (
    *(word for group in GROUPS.values() for word in group),
    "letter", "winter", "summer", "bottle", "garden", "window", "kitchen", "bookcase", "mirror", "pepper", "pillow", "planet",
    "ribbon", "rocket", "school", "silver", "street", "teacher", "village", "yellow", "balloon", "committee", "address", "success",
    "mississippi", "parallel", "tomorrow", "necessary", "engineer", "different", "umbrella", "potato", "river", "mountain",
    "bicycle", "elephant", "hospital", "library", "newspaper", "orchestra", "pyramid", "question", "restaurant", "strawberry",
    "telescope", "university", "volcano", "waterfall", "xylophone", "yesterday", "zeppelin", "accommodation", "bookkeeper",
)  # fmt: skip
PEOPLE = (
    "Ann",
    "Ben",
    "Cara",
    "Dan",
    "Eve",
    "Finn",
    "Gina",
    "Hugo",
    "Ida",
    "Jack",
    "Kira",
    "Leo",
    "Mia",
    "Noah",
    "Olga",
    "Paul",
)
