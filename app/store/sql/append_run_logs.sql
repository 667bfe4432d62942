-- append_run_logs: add lines to the logs of running runs. Joined with the run by its fencing token:
-- a worker that has lost a run cannot write into the log of its next attempt. The key share lock
-- keeps retention from removing the run at the same moment. A chunk that is not known to be written
-- comes once more with the end of its attempt; in order, so that the two never wait for each other.
INSERT INTO run_log (run_id, sequence, line_count, attempt, dropped, lines)
SELECT run.id, chunk.sequence, chunk.line_count, chunk.attempt, chunk.dropped, chunk.lines
  FROM unnest(cast(:run_id AS uuid[]), cast(:fencing_token AS bigint[]),
              cast(:sequence AS integer[]), cast(:line_count AS integer[]),
              cast(:attempt AS integer[]), cast(:dropped AS integer[]), cast(:lines AS jsonb[]))
       AS chunk (run_id, fencing_token, sequence, line_count, attempt, dropped, lines)
  JOIN run ON run.id = chunk.run_id
   AND run.fencing_token = chunk.fencing_token
 ORDER BY run.id, chunk.sequence
   FOR KEY SHARE OF run
    ON CONFLICT DO NOTHING
