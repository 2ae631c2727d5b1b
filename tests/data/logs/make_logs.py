"""Makes the logs of this folder with lm-evaluation-harness and inspect_ai themselves.

Run from the root of the repository, where both are installed (`pip install -e ".[evals]"`):

    python -m tests.data.logs.make_logs lm-eval OUT
    python -m tests.data.logs.make_logs inspect OUT

The models are random or made up: what they answer does not matter, how it is logged does.
"""

import json
import os
import shutil
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKENIZER = Path(__file__).parents[2] / "helpers" / "tokenizer"
QUESTIONS = [
    {"question": question, "answer": answer, "choices": choices, "label": label, "subject": subject}
    for question, answer, choices, label, subject in [
        ("Tom had 5 pears and gave 2 away. How many?", "3", ["3", "7", "2"], 0, "giving"),
        ("Ann has 4 hens and buys 3. How many?", "7", ["1", "7", "12"], 1, "buying"),
        ("A shop sold 6 of 9 bells. How many are left?", "3", ["15", "6", "3"], 2, "giving"),
        ("Ann has 4 hens and buys 3. How many?", "7", ["7", "4", "3"], 0, "buying"),
    ]
]
CLOZE = {
    "subjects": ["At dawn the nurse", "At dawn the boat"],
    "rest": "sails away.",
    "label": 1,
}
DATA = """dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/{file}.jsonl}}}}
test_split: test
"""
TASKS = {
    "tiny_choice": (
        "questions",
        """output_type: multiple_choice
doc_to_text: "Q: {{question}}\\nA:"
doc_to_choice: choices
doc_to_target: label
metric_list: [{metric: acc}, {metric: acc_norm}, {metric: acc_mutual_info}]
""",
    ),
    "tiny_words": (
        "questions",
        """output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: answer
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 4, do_sample: false}
filter_list:
  - {name: whole, filter: [{function: take_first}]}
  - {name: number, filter: [{function: regex, regex_pattern: "(\\\\d+)"}, {function: take_first}]}
metric_list: [{metric: exact_match}]
""",
    ),
    "tiny_cloze": (
        "cloze",
        """output_type: multiple_choice
doc_to_text: label
doc_to_choice: "{{[subjects[0] + ' of the town', subjects[1] + ' of the town']}}"
doc_to_target: rest
metric_list: [{metric: acc}]
""",
    ),
}


def make_lm_eval_logs(out: Path) -> None:
    """Runs the tasks on a tiny random model, as text, with its chat template, and by chat."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _save_tiny_model(folder / "model")
        rows = {"questions": QUESTIONS, "cloze": [CLOZE]}
        for name, values in rows.items():
            text = "".join(json.dumps(row) + "\n" for row in values)
            (folder / f"{name}.jsonl").write_text(text)
        for name, (file, task) in TASKS.items():
            head = f"task: {name}\n" + DATA.format(folder=folder, file=file)
            (folder / f"{name}.yaml").write_text(head + task)
        local = f"pretrained={folder}/model,max_length=128"
        hf = ("--model", "hf", "--device", "cpu", "--model_args", local)
        _lm_eval(folder, out / "text", *hf, "--tasks", ",".join(TASKS))
        _lm_eval(folder, out / "template", *hf, "--apply_chat_template", "--tasks", "tiny_words")
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Three)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/v1/chat/completions"
        chat = ("--model", "local-chat-completions", "--model_args", f"model=m,base_url={address}")
        _lm_eval(folder, out / "chat", *chat, "--apply_chat_template", "--tasks", "tiny_words")
        server.shutdown()


def _lm_eval(tasks: Path, out: Path, *arguments: str) -> None:
    from unittest import mock

    from lm_eval.__main__ import cli_evaluate

    with tempfile.TemporaryDirectory() as results:
        options = ("--include_path", str(tasks), "--log_samples", "--output_path", results)
        with mock.patch.object(sys, "argv", ["lm_eval", *arguments, *options]):
            cli_evaluate()
        out.mkdir(parents=True, exist_ok=True)
        for file in Path(results).rglob("samples_*.jsonl"):
            shutil.copy(file, out)


class _Three(BaseHTTPRequestHandler):
    """A chat model that says 3."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {"index": 0, "message": {"role": "assistant", "content": "3"}}
        body = json.dumps({"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing."""


def _save_tiny_model(folder: Path) -> None:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        num_attention_heads=2,
        initializer_range=0.3,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **sizes,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_inspect_logs(out: Path) -> None:
    """Evaluates a made-up model, with two scorers, to an .eval log (two epochs) and a .json log."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import Score, Target, match, mean, scorer
    from inspect_ai.solver import TaskState, generate, system_message

    @scorer(metrics=[mean()])
    def length():
        async def score(state: TaskState, target: Target) -> Score:
            return Score(value=min(1.0, len(state.output.completion) / 8))

        return score

    samples = [
        Sample(q["question"], target=q["answer"], id=i, metadata={"subject": q["subject"]})
        for i, q in enumerate(QUESTIONS[:3], 1)
    ]
    out.mkdir(parents=True, exist_ok=True)
    os.chdir(out)  # logs hold the folder of their task
    for format, n, epochs in (("eval", 3, 2), ("json", 2, 1)):  # JSON is large
        outputs = [ModelOutput.from_content("mockllm", text) for text in ["3", "about 7"] * 3]
        for output in outputs:
            output.usage = ModelUsage(input_tokens=1, output_tokens=1)  # else a tokenizer is loaded
        task = Task(
            dataset=MemoryDataset(samples[:n], name="questions"),
            solver=[system_message("Answer with a number."), generate()],
            scorer=[match(numeric=True), length()],
            epochs=epochs,
            name=f"questions-{format}",
        )
        model = get_model("mockllm/model", custom_outputs=outputs)
        options = {"log_format": format, "log_dir": "made", "display": "none", "max_samples": 1}
        (log,) = eval(task, model=model, **options)
        assert log.status == "success", log.error and log.error.message
        shutil.move(log.location.removeprefix("file://"), f"questions.{format}")
    shutil.rmtree("made")


if __name__ == "__main__":
    program, folder = sys.argv[1:]
    make = {"lm-eval": make_lm_eval_logs, "inspect": make_inspect_logs}[program]
    make(Path(folder).absolute())
