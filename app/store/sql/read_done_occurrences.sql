-- read_done_occurrences: which of a schedule's occurrences need no backfill, because a run of theirs
-- has succeeded or is still under way. Two halves, because two indexes hold them: run_occurrence and
-- run_again.
SELECT run.scheduled_for
  FROM run
 WHERE run.schedule_id = :schedule_id
   AND run.scheduled_for = ANY (cast(:instants AS timestamptz[]))
   AND run.cause IN ('SCHEDULE', 'CATCH_UP')
   AND run.state IN ('SUCCEEDED', 'QUEUED', 'RUNNING')
 UNION
SELECT run.scheduled_for
  FROM run
 WHERE run.schedule_id = :schedule_id
   AND run.scheduled_for = ANY (cast(:instants AS timestamptz[]))
   AND run.cause IN ('RERUN', 'BACKFILL')
   AND run.state IN ('SUCCEEDED', 'QUEUED', 'RUNNING')
