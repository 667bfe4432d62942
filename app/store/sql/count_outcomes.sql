-- count_outcomes: add a batch's outcomes to the counters of its schedules. Rows are locked in the
-- order of their ids, so that two batches never wait for one another in a circle.
WITH outcome AS (
    SELECT *
      FROM unnest(cast(:schedule_id AS uuid[]), cast(:runs AS integer[]),
                  cast(:successes AS integer[]), cast(:failures AS integer[]),
                  cast(:skips AS integer[]), cast(:misses AS integer[]),
                  cast(:failures_since_success AS integer[]), cast(:last_run_at AS timestamptz[]),
                  cast(:last_run_id AS uuid[]), cast(:last_success_for AS timestamptz[]))
           AS given (schedule_id, runs, successes, failures, skips, misses,
                     failures_since_success, last_run_at, last_run_id, last_success_for)
), locked AS MATERIALIZED (
    SELECT counters.schedule_id
      FROM schedule_counters AS counters
     WHERE counters.schedule_id = ANY (cast(:schedule_id AS uuid[]))
     ORDER BY counters.schedule_id
       FOR NO KEY UPDATE
)
UPDATE schedule_counters AS counters
   SET revision = counters.revision + 1,
       run_count = counters.run_count + outcome.runs,
       success_count = counters.success_count + outcome.successes,
       failure_count = counters.failure_count + outcome.failures,
       skip_count = counters.skip_count + outcome.skips,
       miss_count = counters.miss_count + outcome.misses,
       consecutive_failures = outcome.failures_since_success
           + CASE WHEN outcome.successes > 0 THEN 0 ELSE counters.consecutive_failures END,
       last_run_at = greatest(counters.last_run_at, outcome.last_run_at),
       last_run_id = CASE WHEN outcome.last_run_at >= coalesce(counters.last_run_at, '-infinity')
                          THEN outcome.last_run_id ELSE counters.last_run_id END,
       last_success_for = greatest(counters.last_success_for, outcome.last_success_for)
  FROM outcome, locked
 WHERE counters.schedule_id = outcome.schedule_id
   AND locked.schedule_id = outcome.schedule_id
RETURNING counters.schedule_id, counters.revision, counters.consecutive_failures
