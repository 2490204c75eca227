"""The formats that commands print and write, as the command line offers them."""

from enum import StrEnum


class TableFormat(StrEnum):
    """What `run` and `show` print."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"


class ExportFormat(StrEnum):
    """What `export` writes."""

    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"
    PYPERF = "pyperf"
    HGRM = "hgrm"
    JUNIT = "junit"
    BMF = "bmf"
    CUSTOM_SMALLER_IS_BETTER = "customSmallerIsBetter"


class CsvTable(StrEnum):
    """Which table `export --format csv` writes."""

    CELLS = "cells"
    BREAKDOWN = "breakdown"
    ERRORS = "errors"
    LAYERS = "layers"


class GateFormat(StrEnum):
    """What `gate` prints, and writes as a report."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"
    JUNIT = "junit"
    ANNOTATIONS = "annotations"
    BMF = "bmf"
    CUSTOM_SMALLER_IS_BETTER = "customSmallerIsBetter"


class WireGateFormat(StrEnum):
    """What `gate --wire` prints, and writes as a report."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    MARKDOWN = "markdown"


class CapacityFormat(StrEnum):
    """What `capacity` prints."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class HistoryFormat(StrEnum):
    """What `history` prints."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class ListFormat(StrEnum):
    """What `list` and `doctor` print."""

    TABLE = "table"
    JSON = "json"
