-- prune_runs: remove the runs of one project that ended before an instant, with their attempts and
-- logs, a bite at a time. Ids are in the order in which runs were made, so the bite is the oldest
-- stretch of the index run_list: it begins behind :after_id, where the last one ended (what that one
-- removed is in the index until vacuum comes), and ends before :before_id, the first id of that
-- instant, since nothing ends before it is made. What is still under way is passed over.
-- Locks: only rows that have ended, which nobody changes any more.
WITH bite AS MATERIALIZED (
    SELECT run.id, run.finished_at
      FROM run
     WHERE run.project_id = :project_id
       AND run.id > :after_id
       AND run.id < :before_id
     ORDER BY run.id
     LIMIT :limit
), old AS MATERIALIZED (
    SELECT bite.id FROM bite WHERE bite.finished_at < :ended_before
), attempts AS (
    DELETE FROM attempt USING old WHERE attempt.run_id = old.id
), logs AS (
    DELETE FROM run_log USING old WHERE run_log.run_id = old.id
), removed AS (
    DELETE FROM run USING old WHERE run.id = old.id RETURNING run.id
)
SELECT (SELECT bite.id FROM bite ORDER BY bite.id DESC LIMIT 1) AS reached_id,
       (SELECT count(*) FROM bite) AS looked_at,
       (SELECT count(*) FROM removed) AS removed
