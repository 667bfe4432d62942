-- read_recent: how late runs started, and how many ended, in the last 15 minutes, by the index of
-- ends: a step into it for each project. Records of what never ran (skips,
-- misses) are no runs.
WITH recent AS (
    SELECT run.state, run.finished_at,
           extract(epoch FROM run.first_started_at - run.due_at) AS lateness
      FROM run
     WHERE run.finished_at >= now() - interval '15 minutes'
       AND run.state NOT IN ('SKIPPED', 'MISSED')
)
SELECT count(*) FILTER (WHERE finished_at >= now() - interval '1 minute') AS ended_1,
       count(*) FILTER (WHERE finished_at >= now() - interval '5 minutes') AS ended_5,
       count(*) AS ended_15,
       count(*) FILTER (WHERE finished_at >= now() - interval '5 minutes'
                          AND state IN ('FAILED', 'TIMED_OUT', 'LOST')) AS failed_5,
       count(lateness) AS lateness_count,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY lateness) AS lateness_p50,
       percentile_disc(0.99) WITHIN GROUP (ORDER BY lateness) AS lateness_p99,
       max(lateness) AS lateness_max
  FROM recent
