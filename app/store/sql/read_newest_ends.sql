-- read_newest_ends: how the newest runs of schedules ended, or how long those take that are under way,
-- from a bounded number of records of each.
SELECT newest.schedule_id, newest.state, newest.started_at,
       coalesce(newest.finished_at, now()) AS ended_at
  FROM unnest(cast(:ids AS uuid[])) AS given (id)
 CROSS JOIN LATERAL (
       SELECT run.schedule_id, run.state, run.started_at, run.finished_at
         FROM run
        WHERE run.schedule_id = given.id
        ORDER BY run.id DESC
        LIMIT :limit) AS newest
 WHERE newest.started_at IS NOT NULL
   AND newest.state NOT IN ('QUEUED', 'SKIPPED', 'MISSED')
 ORDER BY newest.finished_at DESC NULLS FIRST
