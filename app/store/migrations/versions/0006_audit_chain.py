"""the audit's chain: a seal for each entry, and what is still to be sealed

Revision: 0006
Follows: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('audit_seal',
    sa.Column('position', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('audit_id', sa.Uuid(), nullable=False),
    sa.Column('seal', sa.LargeBinary(), nullable=False),
    sa.Column('sealed_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('position'),
    sa.UniqueConstraint('audit_id')
    )
    op.create_table('audit_unsealed',
    sa.Column('audit_id', sa.Uuid(), nullable=False),
    sa.PrimaryKeyConstraint('audit_id')
    )
    for statement in _BEYOND_THE_MODELS:
        op.execute(statement)


# What SQLModel cannot say.
_BEYOND_THE_MODELS = (
    """
    CREATE TRIGGER audit_seal_is_append_only BEFORE UPDATE OR DELETE ON audit_seal
        FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()
    """,
    """
    CREATE TRIGGER audit_seal_is_never_emptied BEFORE TRUNCATE ON audit_seal
        FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only()
    """,
    """
    CREATE FUNCTION audit_is_to_be_sealed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO audit_unsealed (audit_id) SELECT entry.id FROM written AS entry;
        RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER audit_is_to_be_sealed AFTER INSERT ON audit
        REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION audit_is_to_be_sealed()
    """,
    # Entries that are older than the chain are sealed, too.
    "INSERT INTO audit_unsealed (audit_id) SELECT audit.id FROM audit",
)
