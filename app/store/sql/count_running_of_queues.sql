-- count_running_of_queues: how many runs of each queue are running, seen after their rows were
-- locked. Reads the index of running runs, which are no more than there are slots.
SELECT run.queue AS name, count(*) AS running
  FROM run
 WHERE run.queue = ANY (cast(:names AS text[]))
   AND run.state = 'RUNNING'
 GROUP BY run.queue
