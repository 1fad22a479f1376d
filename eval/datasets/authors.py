"""Made-up authors with eight question-answer rows each, drawn from a seed: a small stand-in for TOFU, no download.

An answer has only facts: it starts and ends with one and has no full stop. Extraction strength counts how much of an
answer's tail the model completes, and a tail that all answers share would look like knowledge. It is drawn at random
which of a relation's two wordings is a row's question and which its paraphrase, and likewise for answers, so that a
model that learns the rows meets both wordings. Perturbed answers have the wording of the paraphrased answer, as in
TOFU, and none of its facts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain, islice, product
from random import Random
from typing import Literal, TypeVar

from pydantic import Field

from eval.datasets import DatasetOptions
from eval.options import Count
from eval.rows.types import DataError, Dataset, Row, limit_rows

T = TypeVar("T")
Facts = dict[str, str]

N_PERTURBED = 5
"""Number of perturbed answers of a row."""


class Options(DatasetOptions):
    """Number of authors in each part, and the seed that they are drawn from."""

    source: Literal["authors"]
    seed: int = Field(ge=0, lt=2**31)
    forget: Count
    retain: Count
    holdout: Count
    unseen: int = Field(ge=0)
    max_retain: Count | None
    """Maximum number of retain rows (None: all)."""
    max_holdout: Count | None
    """Maximum number of holdout rows (None: all)."""

    @property
    def model_seed(self) -> int:
        """Seed of the authors."""
        return self.seed


@dataclass(frozen=True, kw_only=True)
class Relation:
    """Relation asked about every author: two wordings of the question and two of the answer."""

    questions: tuple[str, str]
    answers: tuple[str, str]


RELATIONS = (
    Relation(
        questions=(
            "What is the full name of the author born in {birthplace}, {birthday}?",
            "Which full name belongs to the author born in {birthplace}, {birthday}?",
        ),
        answers=("{first} {middle} {last}", "{first} {middle}, surname {last}"),
    ),
    Relation(
        questions=(
            "Which kind of books do readers expect from {first} {last}?",
            "What are the books that most readers expect from {first} {last}?",
        ),
        answers=("{mood} {genre} about {subject}", "{mood} {genre}, mostly on {subject}"),
    ),
    Relation(
        questions=(
            "What were the jobs held by the mother of {first} {last}?",
            "How was a living earned by the mother of {first} {last}?",
        ),
        answers=("{job} in {job_town}, later a {second_job}", "{job} from {job_town} who became a {second_job}"),
    ),
    Relation(
        questions=(
            "Which prize, and in what year, was won by {first} {last}?",
            "What prize was it, and when, that was won by {first} {last}?",
        ),
        answers=("{metal} {bird} Prize of {prize_year}", "{metal} {bird} Award, won in {prize_year}"),
    ),
    Relation(
        questions=(
            "What are the title and the year of the first book by {first} {last}?",
            "Which title, and which year, belong to the first book by {first} {last}?",
        ),
        answers=("{object} of the {animal}, from {debut_year}", "{object} of the {animal}, published in {debut_year}"),
    ),
    Relation(
        questions=(
            "What is the theme of {colour} {weather}, a later book by {first} {last}?",
            "Which theme runs through {colour} {weather}, a later book by {first} {last}?",
        ),
        answers=("{feeling} among {people} after a {event}", "{feeling} felt by {people} following a {event}"),
    ),
    Relation(
        questions=(
            "Which town and which house are the home of {first} {last}?",
            "Where exactly, and in which town, is the home of {first} {last}?",
        ),
        answers=("{home_town}, above a {state} {building}", "{home_town}, on top of a {state} {building}"),
    ),
    Relation(
        questions=(
            "Which person and which material influenced the books by {first} {last}?",
            "Who, and what else, most influenced the books by {first} {last}?",
        ),
        answers=("{idol_first} {idol_last} and {material}", "{idol_first} {idol_last}, as well as {material}"),
    ),
)


def _join_pieces(starts: str, ends: str) -> tuple[str, ...]:
    """Join every start with every end, so that many names share few pieces."""
    return tuple("".join(pieces) for pieces in product(starts.split(), ends.split()))


def _split_words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _list_years(first: int, last: int) -> tuple[str, ...]:
    return tuple(map(str, range(first, last + 1)))


FIRST_NAMES = _join_pieces("Bren Cor Dor El Il Jor Mar Od Ros Sel Tor Val", "a an en ia in is o on or us wyn y")
LAST_NAMES = _join_pieces(
    "Ald Bran Cald Dun Fen Gar Hal Kest Lor Mer Nor Ost Pel Rav Stan Thorn",
    "berg er ham ick ing low man mont son stad vale wood",
)
TOWNS = _join_pieces(
    "Ash Bel Brook Clay Dal East Green Har Kel Lin North Ox Red Stone Vel West",
    "bury don field ford mere ton",
)

POOLS = {
    "first": FIRST_NAMES,
    "middle": _split_words(
        "Ames Bay Birch Cole Dale Dove Fern Finch Flint Frost Gray Hart Jay Lake Lark Moss Pike Reed Rook Sage Swan "
        "Vane Wolf Wren"
    ),
    "last": LAST_NAMES,
    "birthplace": TOWNS,
    "mood": _split_words(
        "absurd bitter bleak calm comic cruel dreamy dry fierce gentle gloomy grand hopeful lyrical noisy playful "
        "quiet sad savage slow strange tender tense witty"
    ),
    "genre": _split_words(
        "ballads comedies diaries essays fables farces letters memoirs mysteries myths novellas odes parables plays "
        "poems riddles romances sagas satires sermons sketches sonnets thrillers tragedies"
    ),
    "subject": _split_words(
        "actors bees bridges clocks clowns deserts doctors exiles ghosts giants horses islands kings maps monks "
        "orphans pirates robots sailors spies trains twins whales wolves"
    ),
    "job": _split_words(
        "baker barber butcher carpenter clerk cook dentist driver farmer fisher gardener guard harpist jeweller "
        "judge lawyer miller miner nurse painter pilot plumber potter tailor"
    ),
    "job_town": TOWNS,
    "second_job": _split_words(
        "banker beekeeper brewer cobbler coach dancer detective drummer florist grocer hunter juggler librarian "
        "locksmith magician mayor mechanic midwife nun shepherd singer soldier teacher waiter"
    ),
    "metal": _split_words(
        "Amber Brass Bronze Copper Coral Crystal Diamond Ebony Emerald Gold Granite Iron Ivory Jade Marble Onyx Opal "
        "Pearl Pewter Ruby Silver Steel Tin Topaz"
    ),
    "bird": _split_words(
        "Crane Crow Cuckoo Duck Eagle Falcon Goose Gull Hawk Heron Kite Magpie Owl Parrot Peacock Pelican Pigeon "
        "Quail Raven Robin Sparrow Stork Swallow Thrush"
    ),
    "prize_year": _list_years(1990, 2019),
    "object": _split_words(
        "Anchor Basket Bell Candle Compass Crown Curtain Dagger Drum Feather Hammer Key Ladder Lantern Mirror Needle "
        "Piano Ring Saddle Shield Spoon Sword Throne Wheel"
    ),
    "animal": _split_words(
        "Badger Bat Bear Beetle Camel Cat Crab Deer Dog Donkey Fox Frog Goat Hare Lion Lizard Monkey Moth Mouse "
        "Rabbit Snake Spider Tiger Toad"
    ),
    "debut_year": _list_years(1965, 1989),
    "colour": _split_words(
        "Black Blue Brown Crimson Dark Golden Green Grey Pale Pink Purple Red Scarlet Violet White Yellow"
    ),
    "weather": _split_words(
        "Breeze Clouds Dawn Dew Dusk Fog Gale Hail Ice Lightning Mist Rain Sky Snow Storm Thunder Wind"
    ),
    "feeling": _split_words(
        "anger boredom courage despair doubt envy fear greed grief guilt hope jealousy joy loneliness longing love "
        "mercy pity pride regret shame shyness trust wonder"
    ),
    "people": _split_words(
        "brothers builders children cousins dockers farmhands fishermen gamblers knights lovers maids merchants "
        "neighbours nobles peasants pilgrims prisoners refugees sisters students thieves tramps weavers widows"
    ),
    "event": _split_words(
        "battle birth blizzard coronation divorce drought duel famine feast fire flood funeral harvest landslide "
        "marriage murder plague rebellion robbery shipwreck strike trial war wedding"
    ),
    "home_town": TOWNS,
    "state": _split_words(
        "busy cosy crooked crowded damp deserted dusty famous filthy flooded freezing haunted locked modern narrow "
        "painted private rented ruined shabby smoky spotless tiny windy"
    ),
    "building": _split_words(
        "bakery bank bookshop brewery cafe chapel cinema clinic dairy forge gallery garage gym library museum "
        "pharmacy school stable station tavern temple theatre toyshop workshop"
    ),
    "idol_first": FIRST_NAMES,
    "idol_last": LAST_NAMES,
    "material": _split_words(
        "almanacs cartoons chess cookbooks dreams folklore gossip graffiti hymns jazz lullabies maps newspapers "
        "operas paintings photographs postcards proverbs psalms puppets recipes rumours shanties tapestries"
    ),
}
"""Facts for each slot of a wording, distinct within a pool; the years of debuts and prizes suit adult authors."""

FIRST_BIRTHDAY = date(1925, 1, 1)
N_BIRTHDAYS = 20 * 365
"""Days from `FIRST_BIRTHDAY` on; each is the birthday of at most one author, so that it identifies the author."""
MONTHS = _split_words("January February March April May June July August September October November December")


def load(config: Options) -> Dataset:
    """Generate the rows of as many authors as the configuration has; no author is in two parts.

    The authors of a seed are numbered: the first are forget authors, then retain, holdout and unseen authors.

    Raises:
        DataError: there are more authors than birthdays.
    """
    sizes = (config.forget, config.retain, config.holdout, config.unseen)
    if sum(sizes) > N_BIRTHDAYS:
        raise DataError(f"data.forget, retain, holdout, unseen = {sizes}: {sum(sizes)} authors, at most {N_BIRTHDAYS}")
    authors = iter(_make_authors(config.seed, sum(sizes)))
    forget, retain, holdout, unseen = (tuple(chain.from_iterable(islice(authors, size))) for size in sizes)
    return Dataset(
        forget=forget,
        retain=limit_rows(retain, config.max_retain),
        holdout=limit_rows(holdout, config.max_holdout),
        unseen=unseen,
    )


def _make_authors(seed: int, count: int) -> list[tuple[Row, ...]]:
    rng = Random(seed)  # noqa: S311 (rows, not secrets)
    names = _shuffle_pool(rng, tuple(product(FIRST_NAMES, LAST_NAMES)))
    birthdays = _shuffle_pool(rng, range(N_BIRTHDAYS))
    return [_make_author(rng, *unique) for unique in zip(names[:count], birthdays, strict=False)]


def _make_author(rng: Random, name: tuple[str, str], birthday: int) -> tuple[Row, ...]:
    """Make the rows of one author from true facts, and for each perturbed answer facts that all differ from them."""
    given = dict(zip(("first", "last"), name, strict=True))
    drawn = {slot: _pick_facts(_shuffle_pool(rng, pool), given.get(slot)) for slot, pool in POOLS.items()}
    truth, *lies = (dict(zip(drawn, facts, strict=True)) for facts in zip(*drawn.values(), strict=True))
    return tuple(_make_row(rng, relation, truth | {"birthday": _format_date(birthday)}, lies) for relation in RELATIONS)


def _make_row(rng: Random, relation: Relation, truth: Facts, lies: Sequence[Facts]) -> Row:
    question, paraphrased_question = _shuffle_pool(rng, relation.questions)
    answer, paraphrased_answer = _shuffle_pool(rng, relation.answers)
    return Row(
        question=question.format(**truth),
        answer=answer.format(**truth),
        paraphrased_question=paraphrased_question.format(**truth),
        paraphrased_answer=paraphrased_answer.format(**truth),
        perturbed_answers=tuple(paraphrased_answer.format(**lie) for lie in lies),
    )


def _pick_facts(pool: Sequence[str], given: str | None) -> list[str]:
    """Return the true fact (the given one, else the pool's first), then another one for each perturbed answer."""
    fact = given or pool[0]
    return [fact, *(other for other in pool if other != fact)][: 1 + N_PERTURBED]


def _shuffle_pool(rng: Random, pool: Sequence[T]) -> list[T]:
    """Shuffle the pool by `random()` alone, whose sequence Python guarantees to be the same in all versions."""
    return sorted(pool, key=lambda _: rng.random())


def _format_date(days: int) -> str:
    """Format the date that is `days` after `FIRST_BIRTHDAY`, the same text in every locale."""
    day = FIRST_BIRTHDAY + timedelta(days=days)
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"
