"""Every reason of our own stages has its Korean name."""

from curation.child import REASONS
from curation.registry import STAGES
from curation.report.reasons import KOREAN
from curation.report.words import Words


def test_every_reason_of_our_own_is_named_in_korean() -> None:
    ours = {reason for stage in STAGES.values() for reason in stage.reasons} | set(REASONS)
    assert ours - KOREAN.keys() == set()


def test_every_stage_is_told_in_both_languages() -> None:
    for language in ("en", "ko"):
        assert [name for name in STAGES if not Words(language).stage(name)] == []
