-- read_schedule_lateness: how late the newest runs of each schedule started. Looks at a bounded
-- number of its records, whatever they are, by the index of its ledger.
SELECT given.id,
       count(newest.lateness) AS lateness_count,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY newest.lateness) AS lateness_p50,
       percentile_disc(0.99) WITHIN GROUP (ORDER BY newest.lateness) AS lateness_p99,
       max(newest.lateness) AS lateness_max
  FROM unnest(cast(:ids AS uuid[])) AS given (id)
 CROSS JOIN LATERAL (
       SELECT extract(epoch FROM run.first_started_at - run.due_at)::double precision AS lateness
         FROM run
        WHERE run.schedule_id = given.id
        ORDER BY run.id DESC
        LIMIT :limit) AS newest
 GROUP BY given.id
