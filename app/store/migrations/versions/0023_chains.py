"""chains: runs that start when others end

Revision: 0023
Follows: 0022
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0023'
down_revision = '0022'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('chain',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('project_id', sa.Uuid(), nullable=False),
    sa.Column('job_id', sa.Uuid(), nullable=False),
    sa.Column('target_id', sa.Uuid(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('updated_by', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
    sa.Column('after', sa.Enum('SUCCEEDED', 'FAILED', 'ANY', name='chain_after', native_enum=False, create_constraint=True, length=32), nullable=False),
    sa.Column('parameters', postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=False),
    sa.Column('fan_out', sa.String(), nullable=True),
    sa.Column('fan_out_limit', sa.Integer(), nullable=True),
    sa.CheckConstraint('(fan_out IS NULL) = (fan_out_limit IS NULL)', name='chain_fan_out'),
    sa.CheckConstraint('fan_out_limit > 0', name='chain_limit'),
    sa.CheckConstraint('job_id <> target_id', name='chain_leads_on'),
    sa.ForeignKeyConstraint(['job_id'], ['job.id']),
    sa.ForeignKeyConstraint(['project_id'], ['project.id']),
    sa.ForeignKeyConstraint(['target_id'], ['job.id']),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('chain_of_job', 'chain', ['job_id', 'target_id'], unique=True)
    op.create_index('chain_to_job', 'chain', ['target_id'])
    op.create_index('chain_list', 'chain', ['project_id', 'id'])
    op.add_column('job', sa.Column('has_chains', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.add_column('run', sa.Column('chained_from_id', sa.Uuid(), nullable=True))
    op.add_column('run', sa.Column('chain_id', sa.Uuid(), nullable=True))
    op.add_column('run', sa.Column('chain_item', sa.Integer(), nullable=True))
    op.add_column('run', sa.Column('chain_depth', sa.Integer(), nullable=True))
    op.create_check_constraint('run_chained', 'run', 'chained_from_id IS NULL OR (chain_id IS NOT NULL AND chain_item IS NOT NULL AND chain_depth > 0)')
    op.create_index('run_of_chain', 'run', ['chained_from_id', 'chain_id', 'chain_item'], unique=True, postgresql_where=sa.text('chained_from_id IS NOT NULL'))
