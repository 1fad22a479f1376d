"""Spell out the text of a row where a sweep leaves it to the tokenizer's chat template."""

from eval.rows.types import DataError
from sweep.config.schema import SweepConfig
from sweep.config.template import ChatTemplate, Template
from sweep.errors import ConfigError

PLAIN_TEMPLATE = Template(question="Question: {question}\nAnswer:", answer=" {answer}")
"""The text of a row for a tokenizer without a chat template."""


def fill_template(config: SweepConfig) -> SweepConfig:
    """Return a copy whose `model.template` is spelled out, so that tokens depend on no day and no other version.

    Raises:
        ConfigError: the tokenizer cannot be loaded, or its chat template does not yield the text of a row.
    """
    if isinstance(config.model.template, Template):
        return config
    spelled = _spell_out(config, config.model.template)
    return config.model_copy(update={"model": config.model.model_copy(update={"template": spelled})})


def _spell_out(config: SweepConfig, wanted: ChatTemplate | None) -> Template:
    """Render the chat template of the target's or the model's tokenizer; without one, return the plain text."""
    block, source = ("target", config.target) if config.target.path else ("model", config.model)
    if source.path is not None:
        from eval.models.checkpoint import load_tokenizer
        from eval.rows.chat_template import render_chat_template

        try:
            tokenizer = load_tokenizer(source.path, source.revision)
        except DataError as error:
            raise ConfigError(f"{block}.path = {error}") from error
        if tokenizer.chat_template is not None:
            asked = wanted or ChatTemplate()
            try:
                question, answer = render_chat_template(tokenizer, asked.system, asked.date)
            except DataError as error:
                raise ConfigError(
                    f"{block}.path = {source.path!r}: {error}: give model.template a question and an answer."
                ) from error
            return Template(question=question, answer=answer)
    if wanted is not None:
        raise ConfigError(
            "model.template has a system text or a date, but the tokenizer has no chat template to print them: give it"
            " a question and an answer, or null."
        )
    return PLAIN_TEMPLATE
