"""Turn a tokenizer's chat template into the text of a row: a question with {question}, an answer with {answer}."""

from datetime import date
from typing import Any

from transformers import PreTrainedTokenizerFast

from eval.rows.encode import find_special_tokens
from eval.rows.types import DataError, shorten_value

QUESTION, ANSWER = "Question7text", "Answer7text"
"""Texts that stand for a question and an answer while the chat template is rendered; no template has a reason to
change them, as they have neither spaces at their ends nor signs."""
DEFAULT_DAY = date(2024, 7, 26)
"""The day that a chat template prints as today's: the one that Llama 3's prints where it knows no clock."""
DATE_CODES = ("%d", "%-d", "%a", "%A", "%b", "%B", "%m", "%y", "%Y", "%j", "%H", "%M", "%S")
"""Codes in which a chat template may ask for the day; at midnight."""


def render_chat_template(tokenizer: PreTrainedTokenizerFast, system: str | None, day: date | None) -> tuple[str, str]:
    """Render the chat template; return the text of a question, up to its answer, and the text of an answer.

    The answer's text has the end-of-turn token, if the chat template ends an answer with one that is not EOS.

    Args:
        tokenizer: a tokenizer with a chat template.
        system: the system text; None: the chat template's own, if it has one.
        day: the day that is printed as today's; None: `DEFAULT_DAY`.

    Raises:
        DataError: the chat template cannot be rendered, or changes the texts that it is given.
    """
    turns = [] if system is None else [{"role": "system", "content": system}]
    turns += [{"role": "user", "content": QUESTION}]
    prompt = _render_turns(tokenizer, turns, day or DEFAULT_DAY, add_generation_prompt=True)
    whole = _render_turns(tokenizer, [*turns, {"role": "assistant", "content": ANSWER}], day or DEFAULT_DAY)
    before, found, after = whole.rpartition(ANSWER)
    if QUESTION not in prompt or not found:
        raise DataError("its chat template changes the text of questions or answers")
    # Templates without a generation prompt, and those that put more before an answer, show it only in the whole.
    question = before if before.startswith(prompt) else prompt
    return question.replace(QUESTION, "{question}"), "{answer}" + _find_end_of_turn(tokenizer, after)


def _render_turns(tokenizer: PreTrainedTokenizerFast, turns: list[dict[str, str]], day: date, **options: Any) -> str:
    """Render a conversation on a day, which is told in both ways in which templates ask for it."""
    replaced = "".join(f" | replace('{code}', '{day.strftime(code)}')" for code in DATE_CODES)
    # The line's end is not rendered, as in transformers' own settings, and the template begins as it does alone.
    clock = f"{{% macro strftime_now(form) %}}{{{{ form{replaced} }}}}{{% endmacro %}}\n"
    try:
        template = clock + tokenizer.get_chat_template()
        return str(
            tokenizer.apply_chat_template(
                turns, chat_template=template, tokenize=False, date_string=day.strftime("%d %b %Y"), **options
            )
        )
    except Exception as error:  # a template may raise anything
        raise DataError(f"its chat template cannot be rendered: {shorten_value(str(error))}") from error


def _find_end_of_turn(tokenizer: PreTrainedTokenizerFast, after: str) -> str:
    """Return the special token that follows an answer; empty if it is EOS, which is added anyway, or if none does."""
    found = [token for token in find_special_tokens(tokenizer) if after.lstrip().startswith(token)]
    end = max(found, key=len, default="")
    return "" if end == tokenizer.eos_token else end
