"""What every exporter holds: it keeps each feature or says that it is lost, writes no secret, and repeats itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.exporters.cases import CASES, load

from vallum.exporters import EXPORTERS
from vallum.exporters.export import Kind
from vallum.exporters.features import Feature

if TYPE_CHECKING:
    from pathlib import Path

    from vallum.exporters.export import Export, Exporter

BY_ITSELF = frozenset((Feature.PRESET_RAW,))  # what every gateway does without being told
every_exporter = pytest.mark.parametrize("exporter", EXPORTERS.values(), ids=lambda exporter: exporter.name)
every_feature = pytest.mark.parametrize("feature", Feature)


def export(exporter: Exporter, folder: Path, feature: Feature, *, having: bool) -> Export:
    case = CASES[feature]
    return exporter.write(*load(folder, case.having if having else case.lacking))


def said(made: Export) -> list[list[str]]:
    """Return the files of an export without their comments."""
    return [[line for line in text.splitlines() if not line.lstrip().startswith("#")] for text in made.files.values()]


@every_exporter
def test_an_exporter_answers_for_every_feature(exporter: Exporter) -> None:
    assert set(exporter.answers) == set(Feature)
    for feature, answer in exporter.answers.items():
        assert answer.kind is None or (answer.detail and answer.remedy), feature
        assert answer.kind is None or isinstance(answer.kind, Kind)


@every_exporter
@every_feature
def test_a_feature_is_kept_or_among_the_losses(exporter: Exporter, feature: Feature, tmp_path: Path) -> None:
    made = export(exporter, tmp_path, feature, having=True)
    losses = [loss for loss in made.losses if loss.feature == feature.value]
    assert all(loss.detail and loss.remedy and loss.where for loss in losses)
    if not losses:
        other = export(exporter, tmp_path, feature, having=False)
        same = said(made) == said(other)
        assert not same or feature in BY_ITSELF, "it is said to be kept, and the export is the same without it"


@every_exporter
@every_feature
def test_an_export_repeats_itself_and_writes_no_secret(exporter: Exporter, feature: Feature, tmp_path: Path) -> None:
    made, again = [export(exporter, tmp_path, feature, having=True) for _ in range(2)]
    assert made == again
    for text in (*made.files.values(), *map(str, made.losses)):
        assert "s3cr3t" not in text
        assert "kittiwake" not in text  # a canary, whose worth is that nobody knows it
        assert str(tmp_path) not in text


@every_exporter
def test_all_losses_together_stand_in_the_policys_order(exporter: Exporter, tmp_path: Path) -> None:
    overlay = {"counters": "redis://store.example", "listen.max_headers": 9, "routes.0.auth.scopes": ["a"]}
    wheres = [loss.where for loss in exporter.write(*load(tmp_path, overlay)).losses]
    tops = [where.partition(".")[0] for where in wheres]
    order = ["upstreams", "authenticators", "routes", "listen", "counters", "records"]
    assert [top for top in order if top in tops] == list(dict.fromkeys(tops))
