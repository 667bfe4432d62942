-- start_reserved_runs: start those of the held runs whose reservation still stands, and write the
-- event. A statement after hold_reserved_runs, so that it sees what the last judge of each schedule
-- has committed. What does not start stays in the queue for the claim to judge:
--   the instance starts nothing, or this worker drains;
--   the project, job or schedule was edited since the run was reserved, or its queue is controlled;
--   the schedule is busy;
--   these take the worker's last slots, and another run that is due stands ahead of the last of them.
-- The EXISTS are wrapped, so that each is looked up by its index and never becomes a join.
WITH held AS MATERIALIZED (
    SELECT run.id, run.project_id, run.job_id, run.schedule_id, run.queue, run.overlap,
           run.priority, run.next_attempt_at, reserved.project_version, reserved.job_revision,
           reserved.schedule_version
      FROM unnest(cast(:id AS uuid[]), cast(:project_version AS integer[]),
                  cast(:job_revision AS integer[]), cast(:schedule_version AS integer[]))
           AS reserved (id, project_version, job_revision, schedule_version)
      JOIN run ON run.id = reserved.id
), last AS MATERIALIZED (
    SELECT held.priority, held.next_attempt_at
      FROM held
     ORDER BY held.priority, held.next_attempt_at DESC
     LIMIT 1
), startable AS MATERIALIZED (
    SELECT held.id, counters.last_success_for
      FROM held
      JOIN project ON project.id = held.project_id
                  AND project.version = held.project_version
      JOIN job ON job.id = held.job_id
              AND job.revision = held.job_revision
      JOIN schedule ON schedule.id = held.schedule_id
                   AND schedule.version = held.schedule_version
      LEFT JOIN schedule_counters AS counters ON counters.schedule_id = held.schedule_id
     WHERE (SELECT scheduler.state IN ('RUNNING', 'PAUSED') FROM scheduler_state AS scheduler)
       AND NOT (SELECT EXISTS (SELECT 1
                                 FROM worker
                                WHERE worker.id = :worker_id
                                  AND worker.state IN ('DRAINING', 'STOPPED')))
       AND NOT (SELECT EXISTS (SELECT 1
                                 FROM queue
                                WHERE queue.name = held.queue
                                  AND (queue.paused OR queue.concurrency_limit IS NOT NULL)))
       AND (held.overlap = 'ALLOW'
            OR NOT (SELECT EXISTS (SELECT 1
                                     FROM run AS busy
                                    WHERE busy.schedule_id = held.schedule_id
                                      AND busy.state IN ('QUEUED', 'RUNNING')
                                      AND busy.id <> held.id
                                      AND (busy.state = 'RUNNING' OR busy.attempt > 0
                                           OR busy.next_attempt_at <= now()))))
       AND (NOT :takes_all_slots
            OR NOT (SELECT EXISTS (SELECT 1
                                     FROM run AS ahead
                                    WHERE ahead.state = 'QUEUED'
                                      AND ahead.blocked_at IS NULL
                                      AND ahead.tier = 0
                                      AND ahead.priority > (SELECT last.priority FROM last)
                                      AND ahead.next_attempt_at <= now()
                                      AND ahead.id <> ALL (cast(:id AS uuid[]))))
           AND NOT (SELECT EXISTS (SELECT 1
                                     FROM run AS ahead
                                    WHERE ahead.state = 'QUEUED'
                                      AND ahead.blocked_at IS NULL
                                      AND ahead.tier = 0
                                      AND ahead.priority = (SELECT last.priority FROM last)
                                      AND ahead.next_attempt_at
                                          < (SELECT last.next_attempt_at FROM last)
                                      AND ahead.id <> ALL (cast(:id AS uuid[])))))
), started AS (
    UPDATE run
       SET state = 'RUNNING',
           attempt = 1,
           worker_id = :worker_id,
           fencing_token = greatest(nextval('fencing_token'), run.fencing_token + 1),
           lease_expires_at = now() + make_interval(secs => :lease_seconds),
           started_at = now(),
           first_started_at = now(),
           previous_success_for = startable.last_success_for,
           revision = run.revision + 1
      FROM startable
     WHERE run.id = startable.id
    RETURNING run.id, run.project_id, run.schedule_id, run.fencing_token, run.started_at,
              run.revision, run.previous_success_for
), told AS (
    INSERT INTO event (project_id, subject, change, entity_ids, revisions, parent_ids)
    SELECT started.project_id, 'RUN', 'STARTED', array_agg(started.id),
           array_agg(started.revision), array_agg(started.schedule_id)
      FROM started
     GROUP BY started.project_id
)
SELECT started.id, started.fencing_token, started.started_at, started.revision,
       started.previous_success_for
  FROM started
