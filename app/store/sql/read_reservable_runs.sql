-- read_reservable_runs: those of the runs that may be reserved before they are due, with all that
-- their attempts need. Nothing is locked or written: a reservation is knowledge, no right. What a
-- limit of a job, queue or schedule may hold up is left to the claim, and what its schedule's owner
-- may not trigger any more.
-- Values that a herd shares come as text, to be read once.
WITH prepared AS MATERIALIZED (
    SELECT run.*
      FROM run
     WHERE run.id = ANY (cast(:ids AS uuid[]))
       -- Not false is true here, and keeps PostgreSQL from looking among all that wait.
       AND (run.state = 'QUEUED') IS NOT FALSE
       AND run.blocked_at IS NULL
       AND run.attempt = 0
       AND run.next_attempt_at > now()
)
SELECT prepared.id, prepared.project_id, prepared.job_id, prepared.schedule_id,
       prepared.next_attempt_at, prepared.due_at, prepared.scheduled_for, prepared.parameters,
       prepared.priority, prepared.attempt, prepared.crash_count, prepared.given_back_count,
       prepared.max_attempts, prepared.queue, 0 AS log_lines, false AS queue_is_controlled,
       job.revision AS job_revision, job.key AS job_key, job.kind AS job_kind,
       job.config::text AS job_config, job.retry::text AS job_retry,
       job.parameters_schema::text AS job_parameters_schema,
       job.timeout_seconds AS job_timeout_seconds, job.on_worker_lost AS job_on_worker_lost,
       job.has_chains AS job_has_chains,
       project.key AS project_key, project.version AS project_version, project.shell_allowed,
       schedule.key AS schedule_key, schedule.version AS schedule_version
  FROM prepared
  JOIN job ON job.id = prepared.job_id
  JOIN schedule ON schedule.id = prepared.schedule_id
  JOIN project ON project.id = prepared.project_id
  LEFT JOIN api_token AS owner
    ON owner.id = CASE schedule.owner ->> 'kind'
                  WHEN 'TOKEN' THEN cast(schedule.owner ->> 'id' AS uuid) END
 WHERE job.concurrency_limit IS NULL
   AND schedule.max_runs IS NULL
   AND schedule.spacing_seconds IS NULL
   AND (owner.revoked_at IS NOT NULL OR owner.expires_at <= prepared.next_attempt_at
        OR owner.role = 'VIEWER') IS NOT TRUE
   AND NOT (SELECT EXISTS (SELECT 1
                             FROM queue
                            WHERE queue.name = prepared.queue
                              AND (queue.paused OR queue.concurrency_limit IS NOT NULL)))
