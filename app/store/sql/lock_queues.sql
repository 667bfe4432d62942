-- lock_queues: hold the rows of queues that are paused or have a limit, in the order of their names,
-- while their free slots are counted: counting alone races between workers. Jobs are locked before.
SELECT queue.name, queue.paused, queue.concurrency_limit
  FROM queue
 WHERE queue.name = ANY (cast(:names AS text[]))
   AND (queue.paused OR queue.concurrency_limit IS NOT NULL)
 ORDER BY queue.name
   FOR NO KEY UPDATE
