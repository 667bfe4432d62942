-- prune_idempotency: forget idempotency keys whose time is over. SKIP LOCKED: every worker prunes.
DELETE FROM idempotency
 WHERE (idempotency.project_id, idempotency.key) IN (
       SELECT old.project_id, old.key
         FROM idempotency AS old
        WHERE old.created_at < now() - make_interval(secs => :older_than_seconds)
        ORDER BY old.created_at
        LIMIT :limit
          FOR UPDATE SKIP LOCKED)
