"""The text of a row from a tokenizer's chat template: rendered once, on a fixed day, with the end of an answer."""

from datetime import date
from pathlib import Path
from tempfile import mkdtemp

import pytest

from eval.rows import chat_template
from eval.rows.chat_template import render_chat_template
from eval.rows.encode import encode
from eval.rows.types import DataError
from eval.shipped_configs import CONFIGS
from support.commands import SMALL
from support.composing import load_shipped
from support.toys import SHAPE, config, llama
from support.vocabularies import BOS, EOS, LLAMA_2, LLAMA_3, POST_PROCESSORS, TURN, make_tokenizer
from sweep.config.schema import SweepConfig
from sweep.config.template import ChatTemplate, Template
from sweep.errors import ConfigError
from sweep.plan.launch_plan import plan_new, plan_resume
from sweep.plan.row_template import PLAIN_TEMPLATE, fill_template

SYSTEM, DAY = "You are a helpful assistant.", date(2025, 4, 10)
"""What open-unlearning's targets of Llama 3 were trained with."""
CHAT_ML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|eot|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_a_chat_template_with_date_and_system_text() -> None:
    """Both are in the text, which begins as the template does, and the end of a turn closes the answer."""
    tokens = make_tokenizer(chat_template=LLAMA_3)
    head = f"{BOS}[system]Today Date: 10 Apr 2025 {SYSTEM}{TURN}[user]{{question}}{TURN}[assistant]"
    assert render_chat_template(tokens, SYSTEM, DAY) == (head, "{answer}" + TURN)


@pytest.mark.parametrize("post_processor", POST_PROCESSORS)
def test_rows_are_encoded_as_the_conversation_is(post_processor: str | None) -> None:
    """The tokens are those of the rendered conversation, whatever the tokenizer adds to a text."""
    tokens = make_tokenizer(post_processor, LLAMA_3)
    question, answer = render_chat_template(tokens, None, None)
    row = encode(tokens, Template(question=question, answer=answer), "Who?", "calm")
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "calm"}]
    whole = tokens.apply_chat_template(turns, tokenize=False, date_string="26 Jul 2024")
    assert list(row.ids) == tokens(whole, add_special_tokens=False)["input_ids"]
    assert tokens.convert_ids_to_tokens(list(row.labels)) == ["calm", TURN]


def test_eos_is_not_part_of_the_text() -> None:
    """It is added anyway; what stands between prompt and answer belongs to the prompt."""
    tokens = make_tokenizer(chat_template=LLAMA_2)
    assert render_chat_template(tokens, None, None) == (f"{BOS}[INST] {{question}} [/INST] ", "{answer}")


@pytest.mark.parametrize(
    ("template", "question"),
    [
        (CHAT_ML, "<|im_start|>user\n{question}<|eot|>\n<|im_start|>assistant\n"),
        # No generation prompt: the head of an answer is known from the whole alone.
        (CHAT_ML.partition("{% if")[0], "<|im_start|>user\n{question}<|eot|>\n<|im_start|>assistant\n"),
        # An empty thought before each answer is no label.
        (CHAT_ML.replace("{{ message['content'] }}", "{% if message['role'] == 'assistant' %}<t></t>{% endif %}"
         "{{ message['content'] }}"), "<|im_start|>user\n{question}<|eot|>\n<|im_start|>assistant\n<t></t>"),
        # The generation prompt opens a thought that a finished answer does not show.
        (CHAT_ML.replace("assistant\n{% endif", "assistant\n<t>{% endif"),
         "<|im_start|>user\n{question}<|eot|>\n<|im_start|>assistant\n<t>"),
    ],
)  # fmt: skip
def test_what_comes_before_an_answer(template: str, question: str) -> None:
    """It is the question's text, up to the answer."""
    tokens = make_tokenizer(chat_template=template)
    assert render_chat_template(tokens, None, None) == (question, "{answer}" + TURN)


@pytest.mark.parametrize("front", ["", "\n", "  ", "{# a comment #}\n", "  {% set x = 1 %}\n"])
def test_the_day_is_fixed_in_every_form(front: str) -> None:
    """A template that asks for the time gets the day of the configuration, and is otherwise rendered as it is."""
    body = front + "DAY {% for one in messages %}{{ one['content'] }}{{ eos_token }}{% endfor %}"
    turns = [{"role": "user", "content": "{question}"}]
    plain = str(make_tokenizer().apply_chat_template(turns, chat_template=body, tokenize=False))
    tokens = make_tokenizer(chat_template=body.replace("DAY", "{{ strftime_now('%A %-d %B %Y, %Y-%m-%d') }}"))
    assert render_chat_template(tokens, None, DAY)[0] == plain.replace("DAY", "Thursday 10 April 2025, 2025-04-10")
    assert render_chat_template(tokens, None, None)[0] == plain.replace("DAY", "Friday 26 July 2024, 2024-07-26")


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for one in messages %}{{ one['content'] | upper }}{% endfor %}", "changes the text of questions or"),
        ("{{ messages[0]['content'] }}", "changes the text of questions or answers"),
        ("{{ raise_exception('no users') }}", "cannot be rendered: 'no users'"),
        ("{% for %}", "cannot be rendered"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "cannot be rendered"),
    ],
)  # fmt: skip
def test_templates_that_give_no_text_of_a_row(template: str, said: str) -> None:
    """They are refused; no template reaches Python."""
    with pytest.raises(DataError, match=said):
        render_chat_template(make_tokenizer(chat_template=template), None, None)


def named(tmp_path: Path, template: object, chat: str | None) -> SweepConfig:
    """A sweep on a folder with a tokenizer."""
    folder = mkdtemp(dir=tmp_path)
    make_tokenizer(chat_template=chat).save_pretrained(folder)
    model = {"name": "x", "path": folder, "revision": None, "shape": None, "template": template}
    return config(tmp_path, model=model | {"layers": SHAPE.layers, "deepest": SHAPE.layers - 1})


def test_a_plan_spells_the_text_out(tmp_path: Path) -> None:
    """Null and a block of system text and date are rendered; what is spelled out stays."""
    asked = {"system": SYSTEM, "date": "2025-04-10"}
    filled = fill_template(named(tmp_path, asked, LLAMA_3)).model
    assert "10 Apr 2025 You are" in filled.row_template.question
    assert filled.row_template.answer == "{answer}" + TURN
    assert "26 Jul 2024" in fill_template(named(tmp_path, None, LLAMA_3)).model.row_template.question
    assert fill_template(named(tmp_path, None, None)).model.template == PLAIN_TEMPLATE
    own = named(tmp_path, {"question": "{question}?", "answer": "{answer}"}, LLAMA_3)
    assert fill_template(own) is own


def test_a_sweep_is_resumed_with_the_words_that_began_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its configuration holds the rendered text; null is rendered again, and another day is another configuration."""
    monkeypatch.chdir(tmp_path)
    llama().save_pretrained("model")
    make_tokenizer(chat_template=LLAMA_3).save_pretrained("model")
    sizes = (f"model.layers={SHAPE.layers}", f"model.deepest={SHAPE.layers - 1}")
    words = [str(CONFIGS / "wtnpo.yaml"), *SMALL, *sizes, "model.path=model", "model.template=null"]
    (plan,) = plan_new(words, "mine").plans
    with plan.open_study():
        pass
    assert "Today Date: 26 Jul 2024" in plan.config.model.row_template.question
    assert [one.config for one in plan_resume(words, "mine").plans] == [plan.config]
    with pytest.raises(ConfigError, match=r"begun with another configuration: model\.template\.question is .*2024"):
        plan_resume([*words, "model.template.date=2025-04-10"], "mine")


def test_a_plan_refuses_what_it_cannot_render(tmp_path: Path) -> None:
    """One sentence that names the key and says what to do."""
    with pytest.raises(
        ConfigError, match=r"^model\.path = '.*': its chat template cannot be .*: give model\.template a"
    ):
        fill_template(named(tmp_path, None, "{{ raise_exception('no') }}"))
    with pytest.raises(
        ConfigError, match=r"^model\.template has a system text or a date, but the tokenizer has no chat"
    ):
        fill_template(named(tmp_path, {"system": "x"}, None))


def test_templates_in_a_configuration() -> None:
    """Null, a block, single keys of it, and the name of a model whose text it is."""
    assert load_shipped("wtnpo", "model.template=null").model.template is None
    asked = load_shipped("wtnpo", "model.template=null", "model.template.date=2025-04-10").model.template
    assert asked == ChatTemplate(date=DAY)
    llama = load_shipped("wtnpo", "model.template=llama-2-7b").model.template
    assert llama == load_shipped("wtnpo", "model=llama-2-7b").model.template
    with pytest.raises(ConfigError, match=r"model\.template\.date = '10 Apr 2025' must be a day, as 2025-04-10\.$"):
        load_shipped("wtnpo", "model.template=null", "model.template.date='10 Apr 2025'")
    with pytest.raises(ConfigError, match=r"model\.template = 'llama-2' must be null, .* \(nearest: llama-2-7b\)\.$"):
        load_shipped("wtnpo", "model.template=llama-2")
    with pytest.raises(
        ConfigError, match=r"model\.template\.sytem = 'x' is not a known key: .*\(nearest: .*system\)\.$"
    ):
        load_shipped("wtnpo", "model.template=null", "model.template.sytem=x")
    with pytest.raises(ConfigError, match=r"model\.template\.date = .* has no place in this kind of template: allowed"):
        load_shipped("wtnpo", "model.template.date=2025-04-10")


def test_the_default_day_is_llamas() -> None:
    """As its template prints it where it knows no clock."""
    assert f"{chat_template.DEFAULT_DAY:%d %b %Y}" == "26 Jul 2024"
    assert EOS not in LLAMA_3
