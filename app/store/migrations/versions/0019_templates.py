"""templates of schedules and jobs

Revision: 0019
Follows: 0018
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0019'
down_revision = '0018'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('template',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('project_id', sa.Uuid(), nullable=False),
    sa.Column('key', sa.String(length=200), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('description', sa.String(), nullable=True),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('created_by', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('updated_by', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('parameters_schema', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('defaults', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.ForeignKeyConstraint(['project_id'], ['project.id']),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('template_key', 'template', ['project_id', 'key'], unique=True)
