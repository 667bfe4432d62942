-- read_done_occurrences: which of a schedule's occurrences need no backfill, because a run of theirs
-- has succeeded or is still under way. Two halves, because two indexes hold them: run_occurrence and
-- run_again. LIMIT keeps it at one step into the index for each: given all at once, PostgreSQL looks
-- for every one of them in the summaries of run_times.
SELECT wanted.at
  FROM unnest(cast(:instants AS timestamptz[])) AS wanted (at)
 CROSS JOIN LATERAL (
       SELECT 1
         FROM run
        WHERE run.schedule_id = :schedule_id
          AND run.scheduled_for = wanted.at
          AND run.cause IN ('SCHEDULE', 'CATCH_UP')
          AND run.state IN ('SUCCEEDED', 'QUEUED', 'RUNNING')
        LIMIT 1) AS fired
 UNION
SELECT wanted.at
  FROM unnest(cast(:instants AS timestamptz[])) AS wanted (at)
 CROSS JOIN LATERAL (
       SELECT 1
         FROM run
        WHERE run.schedule_id = :schedule_id
          AND run.scheduled_for = wanted.at
          AND run.cause IN ('RERUN', 'BACKFILL')
          AND run.state IN ('SUCCEEDED', 'QUEUED', 'RUNNING')
        LIMIT 1) AS again
