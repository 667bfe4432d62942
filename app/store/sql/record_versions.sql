-- record_versions: write what each schedule is now as its next version, with what differs from the
-- one before. The caller has just changed these rows and so holds them: nobody else can be writing
-- the same sequence. An instant is never earlier than the one before, although of two transactions
-- the one that began first may have had to wait for the other.
INSERT INTO schedule_version (
       id, schedule_id, sequence, version, at, by, change, comment, diff, snapshot)
SELECT given.id, schedule.id, coalesce(previous.sequence, 0) + 1, schedule.version,
       greatest(now(), previous.at), cast(:by AS jsonb), :change, :comment,
       -- CASE: the comparison is not even begun for a schedule that is new.
       CASE WHEN previous.snapshot IS NULL THEN '[]' ELSE (
           SELECT coalesce(jsonb_agg(jsonb_build_object(
                      'path', key, 'before', before.value, 'after', after.value) ORDER BY key), '[]')
             FROM jsonb_each(previous.snapshot) AS before (key, value)
             FULL JOIN jsonb_each(now_is.snapshot) AS after (key, value) USING (key)
            WHERE before.value IS DISTINCT FROM after.value) END,
       now_is.snapshot
  FROM unnest(cast(:id AS uuid[]), cast(:schedule_id AS uuid[])) AS given (id, schedule_id)
  JOIN schedule ON schedule.id = given.schedule_id
 CROSS JOIN LATERAL (
       SELECT to_jsonb(schedule) - cast(:besides AS text[]) AS snapshot OFFSET 0) AS now_is
  LEFT JOIN LATERAL (
       SELECT version.sequence, version.at, version.snapshot
         FROM schedule_version AS version
        WHERE version.schedule_id = schedule.id
        ORDER BY version.sequence DESC
        LIMIT 1) AS previous ON true
