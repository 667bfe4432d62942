-- find_schedules_to_examine: which schedules the health monitor looks at in a round, by indexes and
-- within :most of each: those with a run that has failed, was refused or took a while since the last
-- round, or takes one now; those with open findings; those that do not fire and should; and those
-- that are overdue.
(SELECT DISTINCT run.schedule_id AS id
   FROM run
  WHERE run.finished_at >= :since
    AND run.schedule_id IS NOT NULL
    AND (run.state IN ('FAILED', 'TIMED_OUT', 'LOST')
         OR run.reason = 'REJECTED'
         OR run.finished_at - run.started_at >= interval '2 seconds')
  LIMIT :most)
 UNION
(SELECT run.schedule_id
   FROM run
  WHERE run.state = 'RUNNING'
    AND run.schedule_id IS NOT NULL
    AND run.started_at < now() - interval '2 seconds'
  LIMIT :most)
 UNION
(SELECT finding.schedule_id
   FROM health_finding AS finding
  WHERE finding.resolved_at IS NULL
    AND finding.schedule_id IS NOT NULL
  LIMIT :most)
 UNION
(SELECT schedule.id
   FROM schedule
  WHERE schedule.next_run_at IS NULL
    AND schedule.state IN ('QUARANTINED', 'ACTIVE')
  LIMIT :most)
 UNION
(SELECT schedule.id
   FROM schedule
  WHERE schedule.next_run_at < now() - interval '1 minute'
  ORDER BY schedule.next_run_at
  LIMIT :most_overdue)
