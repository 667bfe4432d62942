-- insert_chained_runs: write what the ends of runs start by chains, in the transaction that writes
-- those ends. A run that has its follower already is left alone: the unique index run_of_chain
-- refuses a second one. The occurrence is that of the run before it; it is due at once.
INSERT INTO run (
       id, project_id, job_id, chained_from_id, chain_id, chain_item, chain_depth, state, reason,
       message, cause, overlap, scheduled_for, due_at, next_attempt_at, parameters, tags, queue,
       priority, max_attempts, revision, attempt, crash_count, created_at, finished_at)
SELECT id, project_id, job_id, chained_from_id, chain_id, chain_item, chain_depth, state, reason,
       message, 'CHAIN', 'ALLOW', scheduled_for, now(), now(), parameters, tags, queue,
       priority, max_attempts, 1, 0, 0, now(), CASE WHEN state <> 'QUEUED' THEN now() END
  FROM unnest(
       cast(:id AS uuid[]), cast(:project_id AS uuid[]), cast(:job_id AS uuid[]),
       cast(:chained_from_id AS uuid[]), cast(:chain_id AS uuid[]),
       cast(:chain_item AS integer[]), cast(:chain_depth AS integer[]), cast(:state AS text[]),
       cast(:reason AS text[]), cast(:message AS text[]), cast(:scheduled_for AS timestamptz[]),
       cast(:parameters AS jsonb[]), cast(:tags AS jsonb[]), cast(:queue AS text[]),
       cast(:priority AS integer[]), cast(:max_attempts AS integer[]))
       AS planned (
       id, project_id, job_id, chained_from_id, chain_id, chain_item, chain_depth, state, reason,
       message, scheduled_for, parameters, tags, queue, priority, max_attempts)
    ON CONFLICT (chained_from_id, chain_id, chain_item) WHERE chained_from_id IS NOT NULL DO NOTHING
RETURNING id, project_id, schedule_id, revision, state
