"""Small tokenizers of many kinds, made in memory: with and without a post-processor and a chat template."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

BOS, EOS, TURN = "<s>", "</s>", "<|eot|>"
POST_PROCESSORS = (None, f"{BOS} $A", f"$A {EOS}", f"{BOS} $A {EOS}")
"""What a tokenizer adds to a text $A of its own accord."""
WORDS = ["Who wrote it?", "calm memoirs about bridges", "Question: Answer:"] * 9
LLAMA_3 = (
    "{{ bos_token }}{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] | trim %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "[system]Today Date: {{ date_string }} {{ system }}<|eot|>"
    "{% for message in messages %}[{{ message['role'] }}]{{ message['content'] | trim }}<|eot|>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
"""Chat template of the form of Llama 3's: BOS as text, a date, a system text, texts without spaces at their ends."""
LLAMA_2 = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + message['content']"
    " + ' [/INST]' }}{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
"""Chat template of the form of Llama 2's: no generation prompt, no system text, EOS after an answer."""


def make_tokenizer(post_processor: str | None = None, chat_template: str | None = None) -> PreTrainedTokenizerFast:
    """Make a byte-level tokenizer with three special tokens."""
    special = [BOS, EOS, TURN]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(WORDS, trainer)
    if post_processor is not None:
        ids = [(word, bpe.token_to_id(word)) for word in (BOS, EOS) if word in post_processor]
        bpe.post_processor = processors.TemplateProcessing(single=post_processor, special_tokens=ids)
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token=BOS, eos_token=EOS)
    made.chat_template = chat_template
    return made
