-- prune_backfills: forget the backfills of one project that ended before an instant: their runs go at
-- that time, too.
DELETE FROM backfill
 WHERE backfill.id IN (
       SELECT old.id
         FROM backfill AS old
        WHERE old.project_id = :project_id
          AND old.finished_at < :ended_before
        ORDER BY old.id
        LIMIT :limit)
