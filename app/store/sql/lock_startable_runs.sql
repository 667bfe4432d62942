-- lock_startable_runs: take the queued runs that are due, by tier (live ones, then what is caught up,
-- then backfills), priority and due instant, and hold their rows until the claim commits; rows
-- another worker holds are skipped. The inner select is a fence: PostgreSQL may otherwise lock more
-- rows than LIMIT allows.
-- Nothing starts while the instance is stopped or drains (share_control came before), nor in a
-- worker that drains. queue_is_controlled: it is paused or has a limit, which lock_queues reads.
-- owner_is_powerless: it fired by itself, and the token that its schedule acts as may not trigger
-- anything any more.
-- is_judge: overlap is judged by one worker a schedule at a time, so an advisory lock on the
-- schedule comes with the row; what its last holder decided is visible to the next statement.
WITH startable AS MATERIALIZED (
    SELECT run.*
      FROM run
     WHERE run.state = 'QUEUED'
       AND run.blocked_at IS NULL
       AND run.next_attempt_at <= now()
       AND (SELECT scheduler.state IN ('RUNNING', 'PAUSED') FROM scheduler_state AS scheduler)
       AND NOT EXISTS (
           SELECT 1
             FROM worker
            WHERE worker.id = :worker_id
              AND worker.state IN ('DRAINING', 'STOPPED'))
     ORDER BY run.tier, run.priority DESC, run.next_attempt_at, run.id
     LIMIT :limit
       FOR UPDATE SKIP LOCKED
)
SELECT startable.id, startable.project_id, startable.job_id, startable.schedule_id,
       startable.overlap, startable.tier, startable.next_attempt_at, startable.due_at, startable.scheduled_for,
       startable.parameters, startable.attempt,
       startable.crash_count, startable.given_back_count, startable.max_attempts,
       startable.cause, startable.queue, startable.cancel_requested_at,
       CASE WHEN startable.attempt = 0 THEN 0 ELSE (
           SELECT coalesce(max(chunk.sequence + greatest(chunk.line_count, 1) - 1), 0)
             FROM run_log AS chunk
            WHERE chunk.run_id = startable.id) END AS log_lines,
       job.key AS job_key, job.kind AS job_kind, job.config::text AS job_config,
       job.retry::text AS job_retry, job.parameters_schema::text AS job_parameters_schema,
       job.timeout_seconds AS job_timeout_seconds, job.on_worker_lost AS job_on_worker_lost,
       job.has_chains AS job_has_chains,
       job.concurrency_limit AS job_concurrency_limit,
       project.key AS project_key, project.shell_allowed, schedule.key AS schedule_key,
       -- How many runs of a backfill wait is the backfill's own affair.
       CASE WHEN startable.cause <> 'BACKFILL' THEN schedule.overlap_limit END AS overlap_limit,
       schedule.max_runs IS NOT NULL OR schedule.spacing_seconds IS NOT NULL AS is_limited,
       -- A run made again works on the same interval as the first time; a backfill's has its own.
       CASE WHEN startable.cause IN ('RERUN', 'BACKFILL') THEN startable.previous_success_for
            ELSE counters.last_success_for END AS previous_success_for,
       startable.attempt = 0
       AND startable.cause IN ('SCHEDULE', 'CATCH_UP', 'BACKFILL')
       AND coalesce(owner.revoked_at IS NOT NULL OR owner.expires_at <= now()
                    OR owner.role = 'VIEWER', false) AS owner_is_powerless,
       coalesce(control.paused OR control.concurrency_limit IS NOT NULL, false)
       AS queue_is_controlled,
       startable.schedule_id IS NULL OR startable.overlap = 'ALLOW' OR pg_try_advisory_xact_lock(
           hashtextextended(startable.schedule_id::text, 7436190255)) AS is_judge
  FROM startable
  JOIN job ON job.id = startable.job_id
  JOIN project ON project.id = startable.project_id
  LEFT JOIN queue AS control ON control.name = startable.queue
  LEFT JOIN schedule ON schedule.id = startable.schedule_id
  LEFT JOIN api_token AS owner
    ON owner.id = CASE schedule.owner ->> 'kind'
                  WHEN 'TOKEN' THEN cast(schedule.owner ->> 'id' AS uuid) END
  LEFT JOIN schedule_counters AS counters ON counters.schedule_id = startable.schedule_id
 ORDER BY startable.tier, startable.priority DESC, startable.next_attempt_at, startable.id
