"""what schedules and jobs are found by

Revision: 0027
Follows: 0026
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0027'
down_revision = '0026'
branch_labels = None
depends_on = None

# The words of a text, in an order of characters that is the same on every machine, whatever that of
# the database. Bodies are bound when they are made: an index is built without a search path.
WORDS_OF = """
CREATE FUNCTION words_of(given text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
    SELECT coalesce(array_agg(left(word, 100) ORDER BY place), '{}')
      FROM regexp_split_to_table(lower(normalize(given) COLLATE "pg_c_utf8"), '[^[:alnum:]]+')
           WITH ORDINALITY AS split (word, place)
     WHERE word <> '')
"""
WORDS_IN = """
CREATE FUNCTION words_in(key text, name text, description text, tags jsonb) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN array_to_tsvector(
    words_of(key || ' ' || name || ' ' || coalesce(description, '') || ' ' || tags::text))
"""
# Each of the first ten words of a search begins a word.
WORDS_QUERY = """
CREATE FUNCTION words_query(given text) RETURNS tsquery LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
    SELECT coalesce(string_agg(word || ':*', ' & '), '')::tsquery
      FROM unnest((words_of(given))[1:10]) AS word)
"""
# Damaged definitions have no facets, or fewer: what writes a schedule must not fail for them.
FACETS_OF = """
CREATE FUNCTION facets_of(tags jsonb, timezone text, timings jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY(SELECT 'tag:' || (tag ->> 'key') || chr(31) || (tag ->> 'value')
               FROM jsonb_path_query(tags, '$.keyvalue()', '{}', true) AS tag
              WHERE tag ->> 'value' IS NOT NULL)
       || ('zone:' || timezone)
       || ARRAY(SELECT DISTINCT 'timing:' || (kind #>> '{}')
                  FROM (SELECT jsonb_path_query(timings, '$[*].keyvalue().key', '{}', true)
                         UNION ALL
                        SELECT jsonb_path_query(timings, '$[*].cron.frequency', '{}', true)
                       ) AS kinds (kind)
                 WHERE kind #>> '{}' IS NOT NULL)
"""
WRITE = """INSERT INTO schedule_search (schedule_id, project_id, name, words, facets)
SELECT schedule.id, schedule.project_id, schedule.name,
       words_in(schedule.key, schedule.name, schedule.description, schedule.tags),
       facets_of(schedule.tags, schedule.timezone, schedule.timings)"""
KEEP = f"""
CREATE FUNCTION keep_schedule_search() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {WRITE}
      FROM (SELECT NEW.*) AS schedule
        ON CONFLICT (schedule_id) DO UPDATE
       SET name = excluded.name, words = excluded.words, facets = excluded.facets;
    RETURN NULL;
END $$
"""
# Of the columns that a tick changes it knows none.
TRIGGER = """
CREATE TRIGGER schedule_search
 AFTER INSERT OR UPDATE OF key, name, description, tags, timezone, timings ON schedule
   FOR EACH ROW EXECUTE FUNCTION keep_schedule_search()
"""


def upgrade() -> None:
    op.execute(WORDS_OF)
    op.execute(WORDS_IN)
    op.execute(WORDS_QUERY)
    op.execute(FACETS_OF)
    op.create_table('schedule_search',
    sa.Column('schedule_id', sa.Uuid(), nullable=False),
    sa.Column('project_id', sa.Uuid(), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('words', postgresql.TSVECTOR(), nullable=False),
    sa.Column('facets', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.ForeignKeyConstraint(['schedule_id'], ['schedule.id'], ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('schedule_id')
    )
    op.execute(f"{WRITE} FROM schedule")
    op.create_index('schedule_name', 'schedule_search', ['project_id', 'name', 'schedule_id'])
    op.create_index('schedule_words', 'schedule_search', ['words', 'facets'], postgresql_using='gin')
    op.execute(KEEP)
    op.execute(TRIGGER)
    op.create_index('schedule_failures', 'schedule_counters', ['failure_count', 'schedule_id'])
    op.create_index('schedule_failing', 'schedule_counters', ['schedule_id'], postgresql_where=sa.text('consecutive_failures > 0'))
    op.create_index('job_words', 'job', [sa.text("words_in(key, name, description, tags)")], postgresql_using='gin')
