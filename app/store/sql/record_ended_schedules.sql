-- record_ended_schedules: write the versions of schedules that a tick has just ended, as
-- record_versions does; the same sequence cannot be written by anybody else for the same reason. A
-- tick changes three columns, so the version before and those are the whole, for a third of the work.
INSERT INTO schedule_version (
       id, schedule_id, sequence, version, at, by, change, diff, snapshot)
SELECT given.id, schedule.id, coalesce(previous.sequence, 0) + 1, schedule.version,
       greatest(now(), previous.at), cast(:by AS jsonb), :change,
       CASE WHEN previous.snapshot IS NULL THEN '[]' ELSE (
           SELECT coalesce(jsonb_agg(jsonb_build_object(
                      'path', key, 'before', previous.snapshot -> key, 'after', value)
                      ORDER BY key), '[]')
             FROM jsonb_each(ended.columns) AS after (key, value)
            WHERE value IS DISTINCT FROM previous.snapshot -> key) END,
       coalesce(previous.snapshot || ended.columns,
                to_jsonb(schedule) - cast(:besides AS text[]))
  FROM unnest(cast(:id AS uuid[]), cast(:schedule_id AS uuid[])) AS given (id, schedule_id)
  JOIN schedule ON schedule.id = given.schedule_id
 CROSS JOIN LATERAL (
       SELECT jsonb_build_object('state', schedule.state, 'state_reason', schedule.state_reason,
                                 'last_error', schedule.last_error) AS columns OFFSET 0) AS ended
  LEFT JOIN LATERAL (
       SELECT version.sequence, version.at, version.snapshot
         FROM schedule_version AS version
        WHERE version.schedule_id = schedule.id
        ORDER BY version.sequence DESC
        LIMIT 1) AS previous ON true
