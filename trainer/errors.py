"""What the trainer refuses or can't go on with. No torch here, so that the command can name these without it."""


class TrainerError(ValueError):
    """Arguments, a recipe or data that can't be: what, the value, where, what to do. Nothing was started."""


class IntegrityError(TrainerError):
    """A file that a manifest names is missing, altered or damaged."""


class PromptError(TrainerError):
    """A prompt that leaves a model's context no room for an answer."""


class ForeignError(TrainerError):
    """The output folder belongs to another run."""


class TrainingFailedError(RuntimeError):
    """Training can't go on (loss without end, a gate that stops); the last good checkpoint stands."""
