-- insert_attempts: keep the record of each attempt that has ended. Repeating it changes nothing.
INSERT INTO attempt (run_id, number, state, worker, started_at, finished_at, error, exit_code,
                     http_status)
SELECT *
  FROM unnest(cast(:run_id AS uuid[]), cast(:number AS integer[]), cast(:state AS text[]),
              cast(:worker AS text[]), cast(:started_at AS timestamptz[]),
              cast(:finished_at AS timestamptz[]), cast(:error AS jsonb[]),
              cast(:exit_code AS integer[]), cast(:http_status AS integer[]))
    ON CONFLICT DO NOTHING
