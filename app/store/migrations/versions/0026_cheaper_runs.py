"""cheaper runs: a tier that is written once, one index less, room to count in place

Revision: 0026
Follows: 0025
"""

from alembic import op

revision = '0026'
down_revision = '0025'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # PostgreSQL reads the expression of a generated column anew for each row that an update writes.
    op.execute("ALTER TABLE run ALTER COLUMN tier DROP EXPRESSION")
    op.execute("ALTER TABLE run ALTER COLUMN tier SET DEFAULT 0")
    for statement in _TIER:
        op.execute(statement)
    op.drop_index('run_lease', table_name='run')
    op.execute("ALTER TABLE schedule_counters SET (fillfactor = 50)")


_TIER = (
    """
    CREATE FUNCTION run_has_its_tier() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.tier := CASE NEW.cause WHEN 'CATCH_UP' THEN 1 ELSE 2 END;
        RETURN NEW;
    END
    $$
    """,
    """
    CREATE TRIGGER run_has_its_tier BEFORE INSERT ON run
        FOR EACH ROW WHEN (NEW.cause IN ('CATCH_UP', 'BACKFILL'))
        EXECUTE FUNCTION run_has_its_tier()
    """,
)
