-- claim_due_schedules: lock due schedules that no other ticker holds, oldest first, with what their
-- runs inherit from the job. NO KEY: an insert that references a schedule (a manual run, say)
-- holds a key-share lock on it, which must not make the tick skip it. The job is only read.
-- Nothing is due unless the instance runs; share_control came before.
-- :as_of is null in production, so that every ticker shares PostgreSQL's clock.
-- Values that a herd shares come as text, to be read once. What is passed over comes only while some
-- of it lies ahead.
SELECT schedule.id, schedule.key, schedule.project_id, schedule.job_id, schedule.version,
       schedule.timings::text AS timings, schedule.timezone, schedule.dst_gap, schedule.dst_fold,
       schedule.start_at, schedule.end_at, schedule.jitter_seconds, schedule.calendar_mode,
       nullif(schedule.calendar_ids, '{}') AS calendar_ids, schedule.effective_from,
       schedule.timing_before::text AS timing_before, schedule.overlap,
       CASE WHEN schedule.passed_over[cardinality(schedule.passed_over)] > schedule.cursor_at
            THEN schedule.passed_over END AS passed_over,
       schedule.catch_up, schedule.catch_up_window_seconds, schedule.catch_up_limit,
       schedule.catch_up_rate_per_minute,
       schedule.parameters::text AS parameters, schedule.tags::text AS tags, schedule.priority,
       schedule.cursor_at, schedule.next_run_at, schedule.has_overrides,
       coalesce(cast(:as_of AS timestamptz), now()) AS as_of,
       job.queue AS job_queue,
       job.priority AS job_priority,
       job.parameters::text AS job_parameters,
       job.tags::text AS job_tags,
       coalesce((job.retry ->> 'maxAttempts')::integer, 1) AS job_max_attempts
  FROM schedule
  JOIN job ON job.id = schedule.job_id
 WHERE schedule.next_run_at
       <= coalesce(cast(:as_of AS timestamptz), now()) + make_interval(secs => :look_ahead_seconds)
   AND (SELECT scheduler.state = 'RUNNING' FROM scheduler_state AS scheduler)
 ORDER BY schedule.next_run_at, schedule.id
 LIMIT :limit
   FOR NO KEY UPDATE OF schedule SKIP LOCKED
