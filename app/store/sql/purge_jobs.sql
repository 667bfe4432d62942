-- purge_jobs: remove jobs for good whose archiving is longer ago than their project's retention, once
-- no schedule and no run is left of them.
WITH gone AS MATERIALIZED (
    SELECT job.id
      FROM job
      JOIN project ON project.id = job.project_id
     WHERE job.archived_at < now() - make_interval(secs => project.retention_seconds)
       AND NOT EXISTS (SELECT 1 FROM run WHERE run.job_id = job.id)
       AND NOT EXISTS (SELECT 1 FROM schedule WHERE schedule.job_id = job.id)
     ORDER BY job.archived_at
     LIMIT :limit
       FOR UPDATE OF job SKIP LOCKED
)
DELETE FROM job
 USING gone
 WHERE job.id = gone.id
RETURNING job.id, job.project_id, job.key
