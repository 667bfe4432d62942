-- read_backfill_progress: what the rows of backfills do not say by themselves: how many runs have not
-- ended, and how many failed that are not counted there yet.
SELECT backfill.id,
       (SELECT count(*)
          FROM run
         WHERE run.backfill_id = backfill.id
           AND run.state IN ('QUEUED', 'RUNNING')) AS unfinished,
       (SELECT count(*)
          FROM run
         WHERE run.backfill_id = backfill.id
           AND run.scheduled_for > backfill.settled_at
           AND run.state IN ('FAILED', 'TIMED_OUT', 'LOST')) AS failed
  FROM backfill
 WHERE backfill.id = ANY (cast(:ids AS uuid[]))
