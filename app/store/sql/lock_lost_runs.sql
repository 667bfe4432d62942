-- lock_lost_runs: running runs whose lease has expired. Not within one lease of PostgreSQL's own
-- start: while it was away nobody could renew. Nor when this sweeper's last look (:swept_at) is
-- longer ago than that: the whole machine may have slept, and the others must have the time to
-- renew what is theirs. SKIP LOCKED: another sweeper, or the worker itself that is finishing it.
SELECT run.id, run.project_id, run.job_id, run.schedule_id, run.attempt, run.crash_count,
       run.max_attempts, run.fencing_token, run.started_at, run.cancel_requested_at,
       run.queue, run.due_at, job.kind AS job_kind, job.on_worker_lost, job.retry::text AS job_retry,
       worker.host || ':' || worker.pid AS worker, now() AS as_of
  FROM run
  JOIN job ON job.id = run.job_id
  LEFT JOIN worker ON worker.id = run.worker_id
 WHERE run.state = 'RUNNING'
   AND run.lease_expires_at < now()
   AND pg_postmaster_start_time() < now() - make_interval(secs => :lease_seconds)
   AND (cast(:swept_at AS timestamptz) IS NULL
        OR cast(:swept_at AS timestamptz) > now() - make_interval(secs => :lease_seconds))
 LIMIT :limit
   FOR NO KEY UPDATE OF run SKIP LOCKED
