"""Errors for people: one root, one clear sentence that says what to do.

Pages and the command line catch `Ki67Error` in one place and show its sentence; anything else
is a mistake of ours and keeps its traceback.
"""


class Ki67Error(Exception):
    """Something a person can mend. Its text is one sentence: what, why, what to do."""


class PictureError(Ki67Error):
    """A picture cannot be read or scored as it is."""


class UnknownPixelSize(PictureError):
    """Neither the picture nor the person gives a usable pixel size."""


class OutlineError(Ki67Error):
    """A pathologist's outline (GeoJSON) cannot be used."""


class ModelError(Ki67Error):
    """A model folder is incomplete, or its weights are not those of its card."""


class DataError(Ki67Error):
    """An annotated folder or a table cannot be used."""


class TrainingError(Ki67Error):
    """A training cannot start or go on."""


class SettingsError(Ki67Error):
    """A setting is unknown or ill-formed."""


class StoreError(Ki67Error):
    """The store cannot do what was asked: full disk, read-only folder, newer database."""


class NotAllowed(Ki67Error):
    """The acting person has no right to do this."""


class Cancelled(Ki67Error):
    """The person cancelled; nothing was written."""
