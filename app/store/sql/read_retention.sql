-- read_retention: before which instant each project keeps nothing that has ended. A backfill of what
-- is missing, while it runs, keeps what it has still to look at.
SELECT project.id AS project_id,
       least(now() - make_interval(secs => project.retention_seconds),
             (SELECT min(backfill.cursor_at)
                FROM backfill
               WHERE backfill.project_id = project.id
                 AND backfill.step_at IS NOT NULL
                 AND backfill.only_missing)) AS ended_before
  FROM project
 ORDER BY project.id
