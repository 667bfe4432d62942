"""what a run was asked for with, and the finding of a schedule whose owner may not trigger it

Revision: 0025
Follows: 0024
"""

import sqlalchemy as sa
from alembic import op

revision = '0025'
down_revision = '0024'
branch_labels = None
depends_on = None

CODES = ('HIGH_FAILURE_RATE', 'CONSECUTIVE_FAILURES', 'OVERDUE', 'STALE', 'SLOWER_THAN_USUAL', 'QUARANTINED', 'NO_NEXT_RUN', 'TICKER_SILENT', 'NO_WORKER', 'CLOCK_SKEW', 'LEASES_NOT_SWEPT', 'OWNER_POWERLESS')


def upgrade() -> None:
    op.add_column('run', sa.Column('idempotency_key', sa.String(length=200), nullable=True))
    op.drop_constraint('health_finding_code', 'health_finding', type_='check')
    op.create_check_constraint('health_finding_code', 'health_finding', sa.column('code', sa.String(32)).in_(CODES))
