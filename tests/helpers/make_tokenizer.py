"""Makes the tests' tokenizer: the default model's in small, trained on this repository's texts.

    python tests/helpers/make_tokenizer.py

It writes the folder `tokenizer` beside this file, the same bytes every time. Like the default
model's tokenizer, it is a byte-level BPE with the same chat template and the same special tokens,
and lacks the same bytes; with 2,048 tokens instead of 49,152, a tiny model is tiny.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

from saetask_plugins.tasks.metaphor import Metaphor
from saetask_plugins.tasks.word_problems import WordProblems

FOLDER = Path(__file__).parent / "tokenizer"
N_TOKENS = 2048
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MISSING = "ĄĆēĔĖĝÀÁñòõö÷øùúûüýþÿ"
"""The bytes that the default model's vocabulary lacks, as byte-level BPE writes them."""

CHAT_TEMPLATE = """\
{% for message in messages %}\
{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
' }}{% endif %}\
{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}\
{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""

CHAT_TEXTS = (
    "system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face\n",
    "user\n",
    "assistant\n",
)
WORDS = """
sea ship dog road house bread the a red old walked to was and on for with there at The Story Text
boats boat sail sailed dawn return text calm honey
hot boiling icy frozen warm cold soup tea lake bath wind milk rain hall pond stone air room sand
today It in yes no not I would that is touch it word sentence reading
bank river green steep money place Anna Ann Ada Oslo went figs eats ate left many How Is Which He
She noon tent dry cork floats rock model note answer one two three four five
"""
"""The tests' words: of planted features, made-up tasks, single prompts. Each is one token
after a blank."""
TIMES = 200
"""A word counts as so many occurrences."""


def texts() -> Iterator[str]:
    """Yields the tasks' prompts with their candidates, the words, and the chat template's text."""
    for task in (Metaphor(), WordProblems()):
        for item in task.items():
            prompt = task.prompt(item)
            yield prompt.content
            for candidate in task.candidates(item) or []:
                yield prompt.answer_prefix + candidate.text
    for word in WORDS.split():
        yield f" {word}" * TIMES
    for text in CHAT_TEXTS:
        yield text * TIMES


def train() -> Tokenizer:
    """Trains the tokenizer; it is laid out as the default model's is, with no digits merged."""
    tokenizer = Tokenizer(BPE())
    by_bytes = ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = Sequence([Digits(individual_digits=True), by_bytes])
    tokenizer.post_processor = TemplateProcessing(single="$A", pair="$A $B:1", special_tokens=[])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=N_TOKENS,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(set(ByteLevel.alphabet()) - set(MISSING)),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.pre_tokenizer = by_bytes
    return tokenizer


def main() -> None:
    """Writes the folder."""
    tokenizer = train()
    assert tokenizer.get_vocab_size() == N_TOKENS
    split = [word for word in WORDS.split() if len(tokenizer.encode(f" {word}").ids) > 1]
    assert not split, f"in pieces: {split}"
    options = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[1],
        "eos_token": SPECIAL[2],
        "pad_token": SPECIAL[2],
        "unk_token": SPECIAL[0],
    }
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "tokenizer.json").write_text(tokenizer.to_str() + "\n", encoding="utf-8")
    (FOLDER / "tokenizer_config.json").write_text(json.dumps(options, indent=2) + "\n")
    (FOLDER / "chat_template.jinja").write_text(CHAT_TEMPLATE)


if __name__ == "__main__":
    main()
