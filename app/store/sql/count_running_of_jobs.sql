-- count_running_of_jobs: how many runs of each job are running, seen after their rows were locked.
SELECT run.job_id, count(*) AS running
  FROM run
 WHERE run.job_id = ANY (cast(:job_ids AS uuid[]))
   AND run.state = 'RUNNING'
 GROUP BY run.job_id
