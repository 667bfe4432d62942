-- settle_backfill: up to where every run of a backfill has ended, how many failed since it was looked
-- at last (:settled_at), and how many have not ended. Nothing is locked: what has ended stays so, and
-- the caller holds the backfill, so that none is counted twice.
WITH under_way AS (
    SELECT count(*) AS unfinished, min(run.scheduled_for) AS first_at
      FROM run
     WHERE run.backfill_id = :backfill_id
       AND run.state IN ('QUEUED', 'RUNNING')
), reached AS (
    SELECT under_way.unfinished,
           coalesce(under_way.first_at - interval '1 microsecond',
                    cast(:cursor_at AS timestamptz)) AS settled_at
      FROM under_way
)
SELECT reached.unfinished, reached.settled_at,
       (SELECT count(*)
          FROM run
         WHERE run.backfill_id = :backfill_id
           AND run.scheduled_for > :settled_at
           AND run.scheduled_for <= reached.settled_at
           AND run.state IN ('FAILED', 'TIMED_OUT', 'LOST')) AS failed
  FROM reached
