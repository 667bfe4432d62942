-- read_instance_facts: what the watchdogs look at, all at one instant of PostgreSQL's clock. Reads
-- the few workers, the front of the due index up to a bound, and the running runs.
WITH overdue AS (
    SELECT schedule.next_run_at
      FROM schedule
     WHERE schedule.next_run_at < now() - interval '10 seconds'
     ORDER BY schedule.next_run_at
     LIMIT :count_up_to + 1
), unswept AS (
    SELECT count(*) AS runs, min(run.lease_expires_at) AS earliest
      FROM run
     WHERE run.state = 'RUNNING'
       AND run.lease_expires_at < now() - make_interval(secs => :lease_seconds)
)
SELECT now() AS as_of,
       pg_postmaster_start_time() AS postgres_started_at,
       scheduler.state, scheduler.changed_at AS state_changed_at,
       (SELECT count(*) FROM worker
         WHERE worker.state = 'ONLINE'
           AND worker.heartbeat_at > now() - make_interval(secs => 2 * :lease_seconds))
       AS workers_online,
       (SELECT max(worker.heartbeat_at) FROM worker) AS last_heartbeat_at,
       (SELECT max(worker.last_tick_at) FROM worker) AS last_tick_at,
       (SELECT count(*) FROM overdue) AS overdue,
       (SELECT min(overdue.next_run_at) FROM overdue) AS earliest_due_at,
       unswept.runs AS unswept_leases, unswept.earliest AS earliest_unswept_at
  FROM scheduler_state AS scheduler, unswept
