"""Score the reading of bounces over a folder of mails whose recipients are known.

Run: python tests/mail/corpus_score.py FOLDER EXPECTED.json
EXPECTED.json maps each file's name to {address: class}; an empty class is not judged.
"""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.mail.answer import read_answer
from app.mail.rules import BounceClass

# These say nothing about a delivery, so they name no failed recipient.
_SILENT = {BounceClass.NONE, BounceClass.AUTO_REPLY}


@dataclass
class Score:
    """How many mails name exactly the recipients expected, and how many hard verdicts are right."""

    mails: int = 0
    exact: int = 0
    hard: int = 0
    hard_right: int = 0
    hard_expected: int = 0
    classes: int = 0
    classes_right: int = 0
    longest_s: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.mails} mails: exact recipients {share(self.exact, self.mails)}, "
            f"hard verdicts right {share(self.hard_right, self.hard)}, "
            f"hard ones found {share(self.hard_right, self.hard_expected)}, "
            f"classes right {share(self.classes_right, self.classes)}, "
            f"slowest {self.longest_s * 1000:.0f} ms"
        )


def share(part: int, whole: int) -> str:
    return f"{part}/{whole} = {100 * part / whole:.1f} %" if whole else "-"


def scored(folder: Path, expected: Mapping[str, Mapping[str, str]]) -> Score:
    """Return the score over the files of a folder that `expected` names."""
    score = Score()
    for name, wanted in expected.items():
        started = time.perf_counter()
        answer = read_answer((folder / name).read_bytes())
        score.longest_s = max(score.longest_s, time.perf_counter() - started)
        got = {
            one.address.lower(): one.class_ for one in answer.verdicts if one.class_ not in _SILENT
        }
        count(score, name, got, {address.lower(): class_ for address, class_ in wanted.items()})
    return score


def count(score: Score, name: str, got: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    score.mails += 1
    score.exact += got.keys() == wanted.keys()
    if got != wanted:
        score.wrong.append(f"{name}: {dict(wanted)} read as {dict(got)}")
    for address, class_ in got.items():
        known = wanted.get(address, "none")
        score.hard += class_ == "hard" and known != ""
        score.hard_right += class_ == known == "hard"
        score.classes += known != ""
        score.classes_right += class_ == known
    score.hard_expected += sum(class_ == "hard" for class_ in wanted.values())


if __name__ == "__main__":
    found = scored(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()))
    sys.stdout.write("\n".join([*found.wrong, str(found), ""]))
