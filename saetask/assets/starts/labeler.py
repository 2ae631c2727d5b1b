"""A labeler of your own: what a feature is about, from its contexts.

saetask plugins --plugin THIS_FILE                  # checks it
saetask dictionary build --plugin THIS_FILE --labeler first-promoted --corpus C --out DIR
"""

from saetask import hookimpl
from saetask.dictionary import Label


class FirstPromoted:
    """The token that the feature promotes most."""

    name = "first-promoted"
    in_words = True

    def label(self, evidence):
        return Label(evidence.promoted[0] if evidence.promoted else "", rule=None)


@hookimpl
def saetask_labelers():
    return [FirstPromoted()]
