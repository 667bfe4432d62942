"""write what new schedules are found by once a statement, not once a row

Revision: 0028
Follows: 0027
"""

from alembic import op

revision = '0028'
down_revision = '0027'
branch_labels = None
depends_on = None

KEEP_NEW = """
CREATE FUNCTION keep_new_schedule_search() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO schedule_search (schedule_id, project_id, name, words, facets)
    SELECT schedule.id, schedule.project_id, schedule.name,
           words_in(schedule.key, schedule.name, schedule.description, schedule.tags),
           facets_of(schedule.tags, schedule.timezone, schedule.timings)
      FROM written AS schedule;
    RETURN NULL;
END $$
"""
TRIGGER_NEW = """
CREATE TRIGGER schedule_search_new AFTER INSERT ON schedule
   REFERENCING NEW TABLE AS written
   FOR EACH STATEMENT EXECUTE FUNCTION keep_new_schedule_search()
"""
# Of the columns that a tick changes it knows none.
TRIGGER = """
CREATE TRIGGER schedule_search
 AFTER UPDATE OF key, name, description, tags, timezone, timings ON schedule
   FOR EACH ROW EXECUTE FUNCTION keep_schedule_search()
"""


def upgrade() -> None:
    op.execute(KEEP_NEW)
    op.execute("DROP TRIGGER schedule_search ON schedule")
    op.execute(TRIGGER_NEW)
    op.execute(TRIGGER)
