"""The commands on one prompt (or a file of prompts): read, detect, reformulate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from saetask.cli.options import (
    declare_allow_mismatch,
    declare_json,
    declare_model,
    print_json,
    registry_of,
)
from saetask.errors import UserError
from saetask.utils.files import user_error_on_failed_write

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from saetask.session import Session


def declare_session(parser: "ArgumentParser") -> None:
    parser.add_argument("prompt", type=str, nargs="?", help="The text.")
    declare_model(parser)
    parser.add_argument(
        "--dictionary",
        type=str | None,
        default=None,
        help="A dictionary folder of this SAE; default: the shipped one, if there is.",
    )
    declare_allow_mismatch(parser)
    declare_json(parser)


def declare_read(parser: "ArgumentParser") -> None:
    declare_session(parser)
    parser.add_argument("--top", type=int, default=10, help="How many features to show.")


def read(arguments: "Namespace") -> None:
    from saetask.cli.tables import firings_table, print_table
    from saetask.data.prompts import as_prompt
    from saetask.dictionary.feature_labels import find_feature_labels
    from saetask.models.loading import load_model
    from saetask.saes.compatibility import check_sae
    from saetask.saes.extraction import read_features
    from saetask.saes.loading import load_sae

    prompt = as_prompt(_prompt(arguments))
    if arguments.top < 1:
        raise UserError(f"--top is {arguments.top}; it must be 1 or more.")
    model, sae = load_model(arguments.model), load_sae(arguments.sae)
    check_sae(model, sae, allow_mismatch=arguments.allow_sae_mismatch)
    activations = read_features(model, sae, [prompt])
    firings = activations.top(arguments.top, region="text")
    meanings = find_feature_labels(model, sae, arguments.dictionary and Path(arguments.dictionary))
    labels = meanings.for_display([firing.feature for firing in firings])
    if arguments.json:
        rows = [{**f._asdict(), "label": labels[f.feature]} for f in firings]
        print_json({"prompt": prompt.content, "features": rows})
    else:
        print_table(firings_table(firings, labels))


def _prompt(arguments: "Namespace") -> str:
    if not arguments.prompt or not arguments.prompt.strip():
        raise UserError('The prompt is empty; give some text, as in saetask read "She sailed".')
    return arguments.prompt


def declare_detect(parser: "ArgumentParser") -> None:
    declare_session(parser)
    parser.add_argument(
        "--task",
        type=str | None,
        default=None,
        help="Default: metaphor with --target, else word-problems.",
    )
    parser.add_argument("--target", type=str | None, default=None, help="The word in question.")
    parser.add_argument(
        "--unvalidated_labels",
        action="store_true",
        help="Let annotations use labels that were not validated, too.",
    )
    parser.add_argument(
        "--file", type=str | None, default=None, help='JSON lines: {"prompt", "target"?}.'
    )


def _session(arguments: "Namespace", target: str | None) -> "Session":
    from saetask.session import Session, SessionConfig

    task = _task_name(arguments, target)
    return Session(
        arguments.model,
        arguments.sae,
        task,
        plugins=registry_of(arguments),
        config=SessionConfig(
            allow_sae_mismatch=arguments.allow_sae_mismatch,
            dictionary=arguments.dictionary and Path(arguments.dictionary),
            unvalidated_labels=arguments.unvalidated_labels,
        ),
    )


def _task_name(arguments: "Namespace", target: str | None) -> str:
    return arguments.task or ("metaphor" if target else "word-problems")


def _question(arguments: "Namespace") -> str:
    """Returns the prompt, refusing one that the task can not ask about before anything loads."""
    text, target = _prompt(arguments), arguments.target
    task = registry_of(arguments).get("task", _task_name(arguments, target))
    task.question_from_text(text, target)
    return text


def detect(arguments: "Namespace") -> None:
    from saetask.cli.tables import detection_text

    if arguments.file:
        _detect_file(arguments)
        return
    text = _question(arguments)
    detection = _session(arguments, arguments.target).detect(text, arguments.target)
    if arguments.json:
        print_json(_detection_document(detection))
    else:
        print(detection_text(detection))


def _detect_file(arguments: "Namespace") -> None:
    """Prints a line for each prompt of a file, as soon as it is there; keeps none of them."""
    from saetask.data.items import PromptRow, read_validated_rows

    session = None
    for number, row in read_validated_rows(Path(arguments.file), PromptRow):
        target = row.target or arguments.target
        session = session or _session(arguments, target)
        try:
            detection = session.detect(row.prompt, target)
        except UserError as error:
            raise UserError(f"{arguments.file}:{number}: {error}") from error
        with user_error_on_failed_write("standard output"):
            print(json.dumps(_detection_document(detection), ensure_ascii=False), flush=True)


def _detection_document(detection: Any) -> dict[str, Any]:
    found = [
        {**m._asdict(), "features": [f._asdict() for f in m.features]}
        for m in detection.misunderstandings
    ]
    return {
        "prompt": detection.prompt,
        "answer": detection.answer,
        "failure": detection.failure,
        "misunderstandings": found,
    }


def reformulate(arguments: "Namespace") -> None:
    from saetask.cli.tables import detection_text

    text = _question(arguments)
    done = _session(arguments, arguments.target).reformulate(text, arguments.target)
    if arguments.json:
        document = _detection_document(done.detection)
        answers = {"before": done.before, "after": done.after}
        document |= {"reformulated": done.reformulated, "annotations": done.annotations}
        print_json({**document, "answers": answers})
    else:
        print(detection_text(done.detection))
        print(f"\nreformulated prompt:\n{done.reformulated}\n")
        print(f"answer before: {done.before}\nanswer after:  {done.after}")
