"""count apart what was given back, and find the ranges that are still to be counted

Revision: 0021
Follows: 0020
"""

import sqlalchemy as sa
from alembic import op

revision = '0021'
down_revision = '0020'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('run', sa.Column('given_back_count', sa.Integer(), server_default=sa.text('0'), nullable=False))
    op.drop_constraint('run_attempts', 'run')
    op.create_check_constraint('run_attempts', 'run', 'attempt <= max_attempts + crash_count + given_back_count')
    op.create_index('run_uncounted', 'run', ['id'], unique=False, postgresql_where=sa.text("range_end IS NOT NULL AND range_count IS NULL AND reason IS DISTINCT FROM 'CIRCUIT_BREAKER'"))
    # Until now such a range was counted as one.
    op.execute(_COUNTED_AS_ONE)


_COUNTED_AS_ONE = """
UPDATE schedule_counters AS counters
   SET miss_count = counters.miss_count - uncounted.misses,
       skip_count = counters.skip_count - uncounted.skips,
       revision = counters.revision + 1
  FROM (SELECT run.schedule_id,
               count(*) FILTER (WHERE run.state = 'MISSED') AS misses,
               count(*) FILTER (WHERE run.state = 'SKIPPED') AS skips
          FROM run
         WHERE run.range_end IS NOT NULL
           AND run.range_count IS NULL
         GROUP BY run.schedule_id) AS uncounted
 WHERE counters.schedule_id = uncounted.schedule_id
"""
