"""`ingest`: how fast leads come in by COPY, and how fast a batch of recipients becomes e-mails."""

import tempfile
from pathlib import Path

from app.campaigns.leads_import import ImportResult, LeadFile, import_csv
from app.config import settings
from app.db.session import Session, connect
from app.errors import LedgerOff
from infra.load import letters, tenant
from infra.load.figures import Direction, Figure, Goal
from infra.load.stand import Measured, Stand, median

_ROWS_PER_S = Goal(direction=Direction.AT_LEAST, limit=20_000)
_ROUNDS = 3


def measure(stand: Stand) -> Measured:
    """Import the same file into fresh apps; the median counts."""
    with (
        connect(settings().database_url, role=None) as session,
        tempfile.TemporaryDirectory() as folder,
    ):
        path = letters.write_leads(Path(folder) / "leads.csv", stand.sizes.import_rows)
        imports = [_imported(session, path, stand.sizes.import_rows) for _ in range(_ROUNDS)]
    rate = median(stand.sizes.import_rows / seconds for seconds in imports)
    figures = [Figure(name="lead import, rows/s", ours=rate, unit="/s", goal=_ROWS_PER_S)]
    remark = f"median of {_ROUNDS} imports of {stand.sizes.import_rows:,} rows"
    return Measured(figures=figures, remarks=[remark], facts={"import_s": imports})


def _imported(session: Session, path: Path, rows: int) -> float:
    """Import into an app of its own; return the seconds. Raises LedgerOff unless all were added."""
    app_id = tenant.new_app(session, 1)
    done: ImportResult = import_csv(session, app_id, LeadFile(path=path, pepper=tenant.pepper()))
    if done.added != rows:
        raise LedgerOff(f"No rate: {done.added} of {rows} leads were added.", why=f"{done}.")
    return done.seconds
