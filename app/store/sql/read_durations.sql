-- read_durations: how long recent runs of a project took, by job and by schedule. Looks at the
-- newest rows only, whatever they are, so that a table of any size costs the same.
SELECT newest.job_id, newest.schedule_id, count(*) AS runs,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY newest.seconds) AS p50,
       percentile_cont(0.95) WITHIN GROUP (ORDER BY newest.seconds) AS p95
  FROM (SELECT run.job_id, run.schedule_id, run.state,
               extract(epoch FROM run.finished_at - run.started_at)::double precision AS seconds
          FROM run
         WHERE run.project_id = :project_id
         ORDER BY run.id DESC
         LIMIT :limit) AS newest
 WHERE newest.state IN ('SUCCEEDED', 'FAILED', 'TIMED_OUT')
   AND newest.seconds IS NOT NULL
 GROUP BY GROUPING SETS ((newest.job_id), (newest.schedule_id))
