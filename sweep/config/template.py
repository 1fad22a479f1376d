"""The text of a row as a part of the configuration: spelled out, named after a model, or the tokenizer's own."""

import datetime
from collections.abc import Mapping
from typing import Annotated, Self, TypeAlias

from pydantic import BeforeValidator, Discriminator, Tag, model_validator

from eval import shipped_configs
from eval.options import Frozen


class Template(Frozen):
    """The text of a row: every token of the `answer` part is a label, and EOS if it has no end-of-turn token."""

    question: str
    """The prompt, which contains {question}."""
    answer: str
    """The text after the prompt, which contains {answer}."""

    @model_validator(mode="after")
    def _check_placeholders(self) -> Self:
        if "{question}" not in self.question or "{answer}" not in self.answer:
            raise ValueError("must have {question} in its question and {answer} in its answer")
        return self


def _parse_day(day: object) -> object:
    """Return the day that a text such as 2025-04-10 names; anything else is returned as it is."""
    if not isinstance(day, str):
        return day
    try:
        return datetime.date.fromisoformat(day)
    except ValueError:
        raise ValueError("must be a day, as 2025-04-10") from None


class ChatTemplate(Frozen):
    """The text of a row from the tokenizer's own chat template, which a plan renders once as a `Template`."""

    system: str | None = None
    """The system text (null: the chat template's own, if it has one)."""
    date: Annotated[datetime.date, BeforeValidator(_parse_day)] | None = None
    """The day, as 2025-04-10, that is printed as today's (null: 2024-07-26)."""


def _template_tag(template: object) -> str:
    """Return the tag of the type that a template is meant to have; a tag is never a key of the user."""
    has_text = isinstance(template, Template) or (
        isinstance(template, Mapping) and {*template} & {"question", "answer"}
    )
    return "-text" if has_text else "-chat"


def _read_named_template(template: object) -> object:
    """Return the text of a row of the shipped model that is named; anything else is returned as it is."""
    if not isinstance(template, str):
        return template
    known = shipped_configs.read_templates()
    if template not in known:
        raise ValueError(f"must be null, a question and an answer, or one of {', '.join(map(repr, known))}")
    return known[template]


RowTemplate: TypeAlias = Annotated[
    Annotated[Template, Tag("-text")] | Annotated[ChatTemplate, Tag("-chat")],
    Discriminator(_template_tag),
    BeforeValidator(_read_named_template),
]
