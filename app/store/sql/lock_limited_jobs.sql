-- lock_limited_jobs: hold the rows of jobs that have a concurrency limit, in the order of their
-- ids, while their free slots are counted: counting alone races between workers. NO KEY, so that
-- runs of the job can be inserted meanwhile.
SELECT job.id, job.concurrency_limit
  FROM job
 WHERE job.id = ANY (cast(:job_ids AS uuid[]))
 ORDER BY job.id
   FOR NO KEY UPDATE
